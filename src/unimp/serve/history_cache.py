"""`HistoryCache`: users' histories as last read from the store."""

from __future__ import annotations

from collections.abc import Iterable

from unimp.core.caches import ByteBoundedCache
from unimp.serve.store.store import digest
from unimp.serve.users import UserHistory


class HistoryCache:
    """Bounded in bytes, least recently used first out. Only the event loop's thread may use it.

    Reading a history takes a while, and an event may arrive meanwhile. `put` therefore takes only what was
    read after the user's last `drop`: the caller gets a token before it reads, and `drop` voids the token.
    """

    def __init__(self, max_bytes: int) -> None:
        self.histories: ByteBoundedCache[str, UserHistory] = ByteBoundedCache(max_bytes)
        self.readers: dict[str, tuple[object, int]] = {}
        """User -> token and number of the reads in progress."""

    @property
    def bytes(self) -> int:
        """Held now."""
        return self.histories.bytes

    def get(self, user: str) -> UserHistory | None:
        return self.histories.get(user)

    def begin_read(self, user: str) -> object:
        """A token for `end_read`."""
        token, count = self.readers.get(user, (object(), 0))
        self.readers[user] = token, count + 1
        return token

    def end_read(self, user: str, token: object, history: UserHistory | None) -> None:
        """Cache what was read since `begin_read`; None when the read failed."""
        current, count = self.readers.get(user, (None, 0))
        if current is not token:
            return
        if count > 1:
            self.readers[user] = token, count - 1
        else:
            del self.readers[user]
        if history is None:
            return
        if history.complete:
            self.histories.put(user, history, history.num_bytes)
        else:
            self.histories.pop(user)

    def drop(self, users: Iterable[str]) -> None:
        """Forget the users' histories, and do not cache what is being read of them now."""
        for user in users:
            self.readers.pop(user, None)
            self.histories.pop(user)

    def clear(self) -> None:
        self.drop([*self.histories, *self.readers])

    def users_of(self, digests: frozenset[str], others: Iterable[str] = ()) -> list[str]:
        """The users, cached or among `others`, whose `digest` is in `digests`."""
        if not digests:
            return []
        return [user for user in {*self.histories, *self.readers, *others} if digest(user) in digests]
