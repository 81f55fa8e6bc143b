"""Versions of columns and row numbers are what was put into them, whatever other versions hold."""

from __future__ import annotations

import numpy as np
import pytest

from unimp.data.columns import CHUNK, Column, RowNumbers


@pytest.mark.parametrize("first", [0, 3, CHUNK, 2 * CHUNK + 5])
def test_random_versions_equal_lists(first: int) -> None:
    rng = np.random.default_rng(first)
    versions = [(Column(range(first)), list(range(first)))]
    for _ in range(40):
        column, values = versions[int(rng.integers(len(versions)))]
        rows = rng.integers(len(values), size=int(rng.integers(5))).tolist() if values else []
        rows += range(len(values), len(values) + int(rng.choice([0, 1, 30, CHUNK])))
        changes = {int(row): int(rng.integers(10**6)) for row in rows}
        expected = [*values]
        for row in sorted(changes):
            expected[row : row + 1] = [changes[row]]
        versions.append((column.with_rows(changes), expected))
    for column, values in versions:
        assert list(column) == values
        assert (len(column), column[: len(values)]) == (len(values), values)
        if values:
            assert column[-1] == values[-1]
            assert column[len(values) // 2] == values[len(values) // 2]
        with pytest.raises(IndexError):
            column[len(values)]


def test_a_change_copies_one_chunk() -> None:
    column = Column(range(5 * CHUNK))
    changed = column.with_rows({CHUNK + 1: -1})
    same = [a is b for a, b in zip(column._chunks, changed._chunks, strict=True)]
    assert same == [True, False, True, True, True]


def test_row_numbers_of_branches_do_not_meet() -> None:
    first = RowNumbers({"a": 0, "b": 1})
    left, right = first.with_ids(["x", "y"]), first.with_ids(["y", "z"])
    further = left.with_ids(["z"])
    assert dict(first) == {"a": 0, "b": 1}
    assert dict(left) == {"a": 0, "b": 1, "x": 2, "y": 3}
    assert dict(right) == {"a": 0, "b": 1, "y": 2, "z": 3}
    assert dict(further) == {"a": 0, "b": 1, "x": 2, "y": 3, "z": 4}
    assert "z" not in left
    assert left.get("z") is None
    assert (len(first), len(left), len(further)) == (2, 4, 5)
