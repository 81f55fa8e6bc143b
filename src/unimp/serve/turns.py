"""`Turns`: how brief requests and long calls share the model's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

MOST_CREDIT = 0.25
"""Seconds that a long call stands still at most before it goes on with a step."""


class Turns:
    """A long call stands still while brief requests are in flight, for at most half of the time.

    Not only while they wait in a queue: the event loop, which reads and answers them, needs a core as well,
    and on few cores the model's thread would have it. `lock` guards the queues, which the event loop fills
    and a long call empties.
    """

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.expected = 0
        """Brief requests between the end of their head and the end of their answer."""
        self.credit = MOST_CREDIT
        """Seconds that the long call may stand still: as many as it worked before."""
        self.resumed = time.monotonic()

    def expect(self, brief: bool) -> None:
        """A request is in flight. For the event loop's thread."""
        self.expected += brief

    def release(self, brief: bool) -> None:
        """The request is answered. For the event loop's thread."""
        self.expected -= brief
        if brief and not self.expected:
            with self.lock:
                self.lock.notify()

    def begin(self) -> None:
        """A long call begins to work."""
        self.resumed = time.monotonic()

    @contextmanager
    def pause(self) -> Iterator[float]:
        """Between two steps of a long call: its work is credited, the time of the block is charged.

        Yields until when it may last, by `time.monotonic`.
        """
        started = time.monotonic()
        self.credit = min(MOST_CREDIT, self.credit + started - self.resumed)
        try:
            yield started + self.credit
        finally:
            self.resumed = time.monotonic()
            self.credit = max(0.0, self.credit - self.resumed + started)

    def wait(self, until: float) -> bool:
        """Until a request was queued or none is in flight; False when none is, or time is up.

        The caller holds the lock.
        """
        seconds = until - time.monotonic()
        if not self.expected or seconds <= 0:
            return False
        self.lock.wait(seconds)
        return True
