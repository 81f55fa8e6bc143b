"""`Window`: the stretch of a user's history that one training sentence is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unimp.data.histories import Histories

DRAWS = 2**62


@dataclass(frozen=True)
class Window:
    """A stretch of one user's history: events `start`:`stop` counted from its first."""

    user: int
    start: int
    stop: int
    draw: int = 0
    """Seed of whatever the task draws for this sentence."""


def cut_windows(
    histories: Histories, max_items: int, rng: np.random.Generator, *, draws: bool = False
) -> list[Window]:
    """One window per user; a history longer than `max_items` is cut at places drawn anew each epoch.

    With `draws`, each window gets a seed of its own.
    """
    windows: list[Window] = []
    for user, length in enumerate(histories.lengths.tolist()):
        if length <= max_items:
            cuts: Sequence[int] = (0, length) if length else ()
        else:
            cuts = [0, *range(int(rng.integers(1, max_items + 1)), length, max_items), length]
        windows.extend(Window(user, start, stop) for start, stop in pairwise(cuts) if stop > start)
    if not draws:
        return windows
    seeds = rng.integers(DRAWS, size=len(windows)).tolist()
    return [
        Window(window.user, window.start, window.stop, draw)
        for window, draw in zip(windows, seeds, strict=True)
    ]
