"""`PrefixCache`: keys and values of the users' histories, matched by content, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from itertools import count
from typing import Literal

import numpy as np

from unimp.inference.prefix import HistoryKey, Positions, Prefix

Outcome = Literal["hit", "extended", "miss"]
VERSIONS = 3
"""Most prefixes with one opening (start and task words) that are cached of a user: tasks without words of
their own may write a history in different ways; otherwise all but one tell histories that have changed."""


class PrefixCache:
    """Prefixes of the users' sentences within a number of bytes; the least recently used are evicted first.

    One cache serves all tasks: a prefix is found by its positions, whichever task's sentence it came from.
    Users never share one, so that forgetting a user forgets all that was read of them. Safe to use from
    several threads.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self.outcomes: dict[Outcome, int] = {"hit": 0, "extended": 0, "miss": 0}
        self._prefixes: OrderedDict[int, tuple[str, Prefix]] = OrderedDict()
        """By number, the least recently used first."""
        self._of_user: dict[str, list[int]] = {}
        """Numbers, in the same order."""
        self._numbers = count()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._prefixes)

    def users(self) -> set[str]:
        with self._lock:
            return set(self._of_user)

    def prefixes(self, user: str) -> list[Prefix]:
        """Those of one user, the least recently used first."""
        with self._lock:
            return [self._prefixes[number][1] for number in self._of_user.get(user, ())]

    def match(self, user: str, positions: Positions) -> tuple[Prefix, int] | None:
        """The prefix that has most of `positions` in common, and how many; None: not even the opening."""
        with self._lock:
            numbers = self._of_user.get(user, ())
            shared = {number: self._prefixes[number][1].positions.shared(positions) for number in numbers}
            best = max(shared, key=lambda number: shared[number], default=-1)
            length = shared.get(best, 0)
            complete = length == len(positions)
            self.outcomes[
                "hit" if length and complete else "extended" if length > positions.opening else "miss"
            ] += 1
            if not length:
                return None
            return self._use(best), length

    def match_events(self, user: str, events: HistoryKey) -> Prefix | None:
        """The longest prefix whose history `events` begins with; None does not count as a miss."""
        with self._lock:
            found, longest = -1, -1
            for number in self._of_user.get(user, ()):
                known = self._prefixes[number][1].events
                if known is not None and len(known) > longest and known.begins(events):
                    found, longest = number, len(known)
            if found < 0:
                return None
            self.outcomes["hit" if longest == len(events) else "extended"] += 1
            return self._use(found)

    def insert(self, user: str, prefix: Prefix) -> None:
        """Cache a prefix instead of the shorter ones that it begins with; not one that is cached already."""
        with self._lock:
            versions = []
            for number in list(self._of_user.get(user, ())):
                known = self._prefixes[number][1].positions
                shared = known.shared(prefix.positions)
                if shared == len(known):
                    self._remove(number)
                elif shared == len(prefix):
                    return
                elif shared >= prefix.positions.opening:
                    versions.append(number)
            for number in versions[: max(0, len(versions) + 1 - VERSIONS)]:
                self._remove(number)
            number = next(self._numbers)
            self._prefixes[number] = user, prefix
            self._of_user.setdefault(user, []).append(number)
            self.bytes += prefix.num_bytes
            while self.bytes > self.max_bytes:
                self._remove(next(iter(self._prefixes)))

    def forget_user(self, user: str) -> None:
        with self._lock:
            for number in list(self._of_user.get(user, ())):
                self._remove(number)

    def forget_items(self, item_rows: Iterable[int]) -> None:
        """Drop the prefixes that hold one of these items, or its picture."""
        rows = np.array(sorted(item_rows), dtype=np.int64)
        with self._lock:
            holding = [
                number for number, (_, prefix) in self._prefixes.items() if prefix.positions.holds(rows)
            ]
            for number in holding:
                self._remove(number)

    def _use(self, number: int) -> Prefix:
        user, prefix = self._prefixes[number]
        self._prefixes.move_to_end(number)
        self._of_user[user].remove(number)
        self._of_user[user].append(number)
        return prefix

    def _remove(self, number: int) -> None:
        user, prefix = self._prefixes.pop(number)
        self.bytes -= prefix.num_bytes
        numbers = self._of_user[user]
        numbers.remove(number)
        if not numbers:
            del self._of_user[user]
