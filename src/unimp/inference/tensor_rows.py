"""`TensorRows`: a table of vectors that grows; its versions share one buffer as far as they are the same."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Buffer:
    """Room for rows. The rows behind `used` are zeros that no version reads."""

    values: Tensor
    used: int


class TensorRows:
    """The first `count` rows of a buffer, immutable.

    A version with further rows shares the buffer, whose room grows by half: adding costs what is added. One
    with other values in rows that are there needs a copy of the table, unless it may take this one's place
    (`in_place`). The tensor that the first version holds is never written to.
    """

    def __init__(self, first: Tensor) -> None:
        self.count = len(first)
        self._buffer, self._owned = Buffer(first, len(first)), False

    @property
    def rows(self) -> Tensor:
        """[count, …] a view."""
        return self._buffer.values[: self.count]

    def with_rows(self, rows: Tensor, values: Tensor, *, in_place: bool = False) -> TensorRows:
        """The table with these rows; rows past the end are added, those that are named nowhere as zeros.

        in_place: nobody reads this version, or anything made of it, from now on.
        """
        needed = max(self.count, int(rows.max()) + 1)
        buffer, room = self._buffer, len(self._buffer.values)
        replaces = int(rows.min()) < self.count and not in_place
        if replaces or not self._owned or buffer.used != self.count or needed > room:
            size = room if needed <= room else max(needed, room * 3 // 2)
            grown = buffer.values.new_zeros(size, *buffer.values.shape[1:])
            grown[: self.count] = self.rows
            buffer = Buffer(grown, self.count)
        buffer.values[rows] = values.to(buffer.values)
        buffer.used = needed
        version = TensorRows(buffer.values)
        version.count, version._buffer, version._owned = needed, buffer, True
        return version
