"""`Pasts`: histories of users as they were read, kept until something changes them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from unimp.serve.store.store import digest
from unimp.serve.users import Past


class Pasts:
    """Within a number of bytes, the least recently used dropped first. For one thread: the event loop's.

    Reading takes a while. What changes a past meanwhile must not be lost: `keep` takes only what was read
    since the user's last `drop`.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self.kept: OrderedDict[str, Past] = OrderedDict()
        self.readings: dict[str, object] = {}

    def get(self, user: str) -> Past | None:
        past = self.kept.get(user)
        if past is not None:
            self.kept.move_to_end(user)
        return past

    def reading(self, user: str) -> object:
        """A token for `keep`: the user's past is about to be read."""
        return self.readings.setdefault(user, object())

    def keep(self, user: str, past: Past, token: object) -> None:
        if self.readings.get(user) is not token:
            return
        del self.readings[user]
        self._remove(user)
        if past.whole:
            self.kept[user] = past
            self.bytes += past.num_bytes
        while self.bytes > self.most_bytes and self.kept:
            self._remove(next(iter(self.kept)))

    def drop(self, users: Iterable[str]) -> None:
        for user in users:
            self.readings.pop(user, None)
            self._remove(user)

    def hashed(self, hashes: frozenset[str], others: Iterable[str] = ()) -> list[str]:
        """The users, known here or among `others`, whose digest is among `hashes`."""
        if not hashes:
            return []
        return [user for user in {*self.kept, *self.readings, *others} if digest(user) in hashes]

    def _remove(self, user: str) -> None:
        past = self.kept.pop(user, None)
        self.bytes -= 0 if past is None else past.num_bytes
