"""Coarser grids and principal components against cases worked by hand and numpy's decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unimp.core.errors import ConfigError
from unimp.features.reduction import Reduction, coarser_grid, pool_grid


@pytest.mark.parametrize(
    ("grid", "tokens", "expected"),
    [
        ((7, 7), 0, (7, 7)),
        ((7, 7), 49, (7, 7)),
        ((7, 7), 9, (3, 3)),
        ((7, 7), 1, (1, 1)),
        ((8, 8), 8, (2, 4)),
        ((6, 4), 6, (3, 2)),
    ],
)
def test_the_nearest_shape_is_chosen(grid: tuple[int, int], tokens: int, expected: tuple[int, int]) -> None:
    assert coarser_grid(grid, tokens) == expected


@pytest.mark.parametrize("tokens", [50, 11, 64])
def test_more_tokens_than_the_grid_has_is_refused(tokens: int) -> None:
    with pytest.raises(ConfigError, match=rf"vision.tokens {tokens}: does not fit the encoder's 7 x 7 = 49"):
        coarser_grid((7, 7), tokens)


def test_cells_are_means_of_what_lies_in_them() -> None:
    visual = torch.arange(16.0).reshape(1, 16, 1)
    assert pool_grid(visual, (4, 4), (2, 2)).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert torch.equal(pool_grid(visual, (4, 4), (4, 4)), visual)


def test_the_kept_directions_are_those_of_largest_variance() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((500, 6)) * [5, 4, 3, 0.1, 0.1, 0.1] + 7).astype(np.float32)
    reduction = Reduction.fit(torch.from_numpy(x), 3)
    told = reduction(torch.from_numpy(x)).numpy()
    _, singular, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    wanted = (x - x.mean(axis=0)) @ right[:3].T
    np.testing.assert_allclose(np.abs(np.corrcoef(told.T, wanted.T)[:3, 3:]), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(told.mean(axis=0), 0, atol=1e-4)
    assert told.var(axis=0).mean() == pytest.approx(1, rel=1e-3)
    assert np.all(np.diff(told.var(axis=0)) < 0)
    assert singular[0] > singular[1]


def test_pictures_that_are_all_the_same_stay_finite() -> None:
    told = Reduction.fit(torch.ones(4, 5), 2)(torch.ones(4, 5))
    assert torch.equal(told, torch.zeros(4, 2))
