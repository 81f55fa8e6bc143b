"""The next batches are laid out in the background while a step runs; their order stays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Thing = TypeVar("Thing")
Made = TypeVar("Made")

DEPTH = 2
"""Made before they are asked for: one would do where all take the same time."""


def prefetch(make: Callable[[Thing], Made], things: Iterable[Thing], depth: int = DEPTH) -> Iterator[Made]:
    """As `map`, but by a thread that is up to `depth` things ahead.

    An error of `make` is raised where its thing's turn comes.
    """
    waiting: deque[Future[Made]] = deque()
    maker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
    try:
        for thing in things:
            waiting.append(maker.submit(make, thing))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        maker.shutdown(cancel_futures=True)
