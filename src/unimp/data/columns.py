"""Columns of a catalogue that changes: versions are immutable and share what is the same in both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TypeVar, overload

Value = TypeVar("Value")
CHUNK_BITS = 10
CHUNK = 1 << CHUNK_BITS
"""Values that are copied to change one of them."""


class Column(Sequence[Value]):
    """An immutable list of I values; a changed version costs the changed chunks and I / CHUNK references."""

    def __init__(self, values: Iterable[Value] = ()) -> None:
        flat = list(values)
        self._count = len(flat)
        self._chunks = [flat[start : start + CHUNK] for start in range(0, len(flat), CHUNK)]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> Value: ...
    @overload
    def __getitem__(self, row: slice) -> list[Value]: ...
    def __getitem__(self, row: int | slice) -> Value | list[Value]:
        if isinstance(row, slice):
            return [self[place] for place in range(*row.indices(self._count))]
        place = row + self._count if row < 0 else row
        if not 0 <= place < self._count:
            raise IndexError(f"row {row} of {self._count}")
        return self._chunks[place >> CHUNK_BITS][place & (CHUNK - 1)]

    def __iter__(self) -> Iterator[Value]:
        return chain.from_iterable(self._chunks)

    def with_rows(self, values: Mapping[int, Value]) -> Column[Value]:
        """The column with these rows; rows past the end must follow it without a gap."""
        changed: Column[Value] = Column()
        changed._count, changed._chunks = self._count, list(self._chunks)
        copied: set[int] = set()
        for row in sorted(values):
            number, place = row >> CHUNK_BITS, row & (CHUNK - 1)
            if number == len(changed._chunks):
                changed._chunks.append([])
            elif number not in copied:
                changed._chunks[number] = list(changed._chunks[number])
            copied.add(number)
            changed._chunks[number][place : place + 1] = [values[row]]
            changed._count = max(changed._count, row + 1)
        return changed


class RowNumbers(Mapping[str, int]):
    """item_id -> row, immutable. Versions share one dictionary of added ids, and read only their own part."""

    def __init__(self, first: Mapping[str, int]) -> None:
        self._first, self._added, self._count = first, dict[str, int](), len(first)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, item_id: str) -> int:
        row = self._first.get(item_id)
        if row is None:
            row = self._added[item_id]
            if row >= self._count:
                raise KeyError(item_id)
        return row

    def __iter__(self) -> Iterator[str]:
        # a list, at once: another thread may add ids meanwhile
        return chain(self._first, islice(list(self._added), self._count - len(self._first)))

    def with_ids(self, item_ids: Iterable[str]) -> RowNumbers:
        """New ids take the rows behind the last one, in their order."""
        changed = RowNumbers(self._first)
        own = self._count - len(self._first)
        # Another version may have added ids behind this one: they must not meet.
        is_latest = len(self._added) == own
        changed._added = self._added if is_latest else dict(islice(self._added.items(), own))
        changed._count = self._count
        for item_id in item_ids:
            changed._added[item_id] = changed._count
            changed._count += 1
        return changed
