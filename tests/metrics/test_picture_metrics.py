"""Distances of picture features, by hand and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from unimp.core.errors import UnimpError
from unimp.metrics.pictures import (
    diversity,
    frechet_distance,
    kernel_distance,
    label_agreement,
    likeness,
    picture_metrics,
    psnr,
)


def normal(seed: int, count: int, width: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (count, width))


def test_psnr_by_hand() -> None:
    black = np.zeros((2, 2, 2, 3), dtype=np.uint8)
    drawn = black.copy()
    drawn[0] = 255  # error 255²: 0 dB; the other is exact: 100 dB
    assert psnr(drawn, black)["PSNR"] == 50.0
    with pytest.raises(UnimpError, match="PSNR"):
        psnr(drawn[:1], black)


def test_frechet_distance_of_one_feature_by_hand() -> None:
    # means 0 and 3, variances 2 and 8: 9 + 2 + 8 - 2 * sqrt(16)
    first, second = np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]])
    assert frechet_distance(first, second) == pytest.approx(11.0)


@given(st.integers(0, 50), st.integers(3, 12))
def test_frechet_distance_agrees_with_the_matrix_root(seed: int, count: int) -> None:
    first, second = normal(seed, count, 4), normal(seed + 1, count + 3, 4, 0.5)
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1])
    apart = first.mean(axis=0) - second.mean(axis=0)
    expected = apart @ apart + np.trace(covariances[0] + covariances[1] - 2 * root.real)
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-4)


def test_the_same_pictures_are_at_no_distance() -> None:
    features = normal(0, 40, 8)
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-9)
    assert picture_metrics(features, features)["FID"] == pytest.approx(0.0, abs=1e-9)


def test_kernel_distance_by_hand() -> None:
    # one feature: k(x, y) = (xy + 1)³ is 1 among zeros and between the two, 8 among ones: 1 + 8 - 2 * 1
    first, second = np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]])
    assert kernel_distance(first, second) == pytest.approx(7.0)


def test_kernel_distance_is_unbiased_and_seeded() -> None:
    same = [kernel_distance(normal(seed, 60, 4), normal(seed + 500, 60, 4), subsets=1) for seed in range(80)]
    spread = np.std(same) / math.sqrt(len(same))
    assert abs(np.mean(same)) < 4 * spread
    assert min(same) < 0 < max(same)
    apart = normal(1, 60, 4), normal(2, 60, 4, 1.0)
    assert kernel_distance(*apart, size=20, seed=3) == kernel_distance(*apart, size=20, seed=3)
    assert kernel_distance(*apart, size=20) > 10 * max(same)


def test_diversity_by_hand() -> None:
    assert diversity(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])) == pytest.approx(10 / 3)
    assert diversity(np.ones((5, 3))) == 0.0


def test_likeness_by_hand() -> None:
    real = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]])  # their mean is 0
    drawn = np.array([[5.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert likeness(drawn, real).tolist() == pytest.approx([1.0, -1.0, math.sqrt(0.5), 0.0])
    moved = np.array([2.0, 7.0])
    assert likeness(drawn + moved, real + moved).tolist() == pytest.approx(likeness(drawn, real).tolist())
    with pytest.raises(UnimpError, match="likeness: 3 drawn pictures for 4"):
        likeness(drawn[:3], real)


def test_one_picture_has_no_distance() -> None:
    one = np.ones((1, 2))
    assert all(math.isnan(value) for value in picture_metrics(one, one).values())


def test_features_of_two_kinds_are_refused() -> None:
    with pytest.raises(UnimpError, match="features"):
        frechet_distance(np.ones((3, 2)), np.ones((3, 4)))


def test_agreement_counts_wanted_labels_only() -> None:
    values = label_agreement(["red", "blue", None, "red"], ["red", "red", "blue", None])
    assert values == {"agreement": pytest.approx(1 / 3), "unscored": 0.25}
