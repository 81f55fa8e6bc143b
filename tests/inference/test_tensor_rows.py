"""Versions of a table share their rows as far as they are the same, and never change."""

from __future__ import annotations

import pytest
import torch

from unimp.inference.tensor_rows import TensorRows


def address(table: TensorRows) -> int:
    return table.rows.data_ptr()


def test_added_rows_share_the_room_and_replaced_ones_copy() -> None:
    first = torch.ones(10, 2)
    table = TensorRows(first)
    grown = table.with_rows(torch.tensor([10]), torch.zeros(1, 2))
    assert address(table) == first.data_ptr() != address(grown)
    longer = grown.with_rows(torch.tensor([11, 13]), torch.full((2, 2), 3.0))
    assert address(longer) == address(grown)
    assert longer.rows[10:].tolist() == [[0.0, 0.0], [3.0, 3.0], [0.0, 0.0], [3.0, 3.0]]
    replaced = longer.with_rows(torch.tensor([0]), torch.full((1, 2), 7.0))
    assert address(replaced) != address(longer)
    assert (longer.rows[0].tolist(), replaced.rows[0].tolist()) == ([1.0, 1.0], [7.0, 7.0])
    taken = replaced.with_rows(torch.tensor([1]), torch.full((1, 2), 8.0), in_place=True)
    assert address(taken) == address(replaced)
    assert torch.equal(first, torch.ones(10, 2))
    over_first = table.with_rows(torch.tensor([0]), torch.zeros(1, 2), in_place=True)
    assert address(over_first) != address(table)  # what training made is never written to


@pytest.mark.parametrize("seed", range(3))
def test_random_branches_never_change(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    versions = [(table := TensorRows(torch.rand(6, 3, generator=random)), table.rows.clone())]
    for _ in range(60):
        table, values = versions[int(torch.randint(len(versions), (1,), generator=random))]
        rows = torch.randperm(table.count + 4, generator=random)[: int(torch.randint(1, 5, (1,)))]
        new = torch.rand(len(rows), 3, generator=random)
        expected = torch.zeros(max(table.count, int(rows.max()) + 1), 3)
        expected[: table.count] = values
        expected[rows] = new
        versions.append((table.with_rows(rows, new), expected))
    for table, values in versions:
        assert torch.equal(table.rows, values)
