"""`ByteBoundedCache`: values by key within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteBoundedCache(Generic[Key, Value]):
    """The least recently used value is evicted first. Not locked: one thread, or a lock around it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        """The bound, and the bytes in use."""
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        """Whether the key is there; does not count as a use."""
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        """The keys, the least recently used first."""
        return iter(self._entries)

    def get(self, key: Key) -> Value | None:
        """The value, which counts as used now; None where there is none."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def put(self, key: Key, value: Value, num_bytes: int) -> list[tuple[Key, Value]]:
        """Insert or replace, and return what was evicted: the value itself where it alone is too large."""
        self.pop(key)
        self._entries[key] = value, num_bytes
        self.bytes += num_bytes
        evicted: list[tuple[Key, Value]] = []
        while self.bytes > self.max_bytes:
            oldest, (old, size) = self._entries.popitem(last=False)
            self.bytes -= size
            evicted.append((oldest, old))
        return evicted

    def pop(self, key: Key) -> Value | None:
        """Remove a key; its value, None where there was none."""
        value, size = self._entries.pop(key, (None, 0))
        self.bytes -= size
        return value

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0
