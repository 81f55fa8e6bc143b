"""The ratings' closed form: its features by hand, what it learns, what it must not see, and its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.six import Six
from tests.tasks.test_reference_ratings import rated
from unimp.core.errors import CheckpointError
from unimp.data.histories import Histories
from unimp.runs.artifact_files import load_artifacts, save_artifacts, saved_ratings
from unimp.tasks.rating.factors import BiasedMF
from unimp.tasks.rating.references import BiasModel
from unimp.tasks.rating.regression import NUM_FEATURES, RatingRegression, held_back, ridge

UNFITTED = np.zeros(1 + NUM_FEATURES, dtype=np.float32)


def plain(train: Histories, text: np.ndarray | None = None, items: int = 3) -> RatingRegression:
    """Mean 3, no biases of items, no factors: every residual is a rating less 3 and less the user's bias."""
    factors = BiasedMF(3.0, np.zeros((items, 1), np.float32), np.ones(1, np.float32), 1.0, 5.0, 1)
    biases = BiasModel(3.0, np.zeros(items, np.float32), 0.0, 1.0, 5.0)
    return RatingRegression(factors, biases, train, text, UNFITTED)


def moody(users: int = 200, length: int = 12, seed: int = 0) -> Histories:
    """Users whose ratings drift: each is the one before it, changed a little. Items mean nothing."""
    rng = np.random.default_rng(seed)
    moods = 3 + np.cumsum(rng.normal(0, 0.4, (users, length)), axis=1)
    rows = [rng.permutation(40)[:length].tolist() for _ in range(users)]
    return rated(rows, np.clip(moods, 1, 5).tolist())


def test_features_by_hand() -> None:
    """Residuals 1.5 and -1.5 (the user's bias is 0.5: the mean of 2 and -1)."""
    text = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=np.float32)
    train = rated([[0, 1], [0]], [[5.0, 2.0], [4.0]])
    closed = plain(train, text)
    asked, item = rated([[0, 1]], [[5.0, 2.0]]), np.array([1])
    own = closed.factors.rate(asked, item)
    found = closed.features(asked, item, own)[0]
    raters = 1 / np.sqrt((2 + 5) * (1 + 5)), 1 / (1 + 5)  # item 0 with 1, and 1 with itself
    first, second = 1.5, -1.5
    expected = [
        3.5 - own[0],
        0.5,
        0.0,
        np.log(3),
        np.log(2),
        np.sqrt((first**2 + second**2 + 1) / 3),
        (first + second) / (2 + 2),
        (first + second) / (2 + 2),
        (0.9 * first + second) / (1.9 + 2),
        (0.6 * first + second) / (1.6 + 0.5),
        (0.6**3 * first + second) / (0.6**3 + 1 + 0.1),
        (0.6**2 * 0.9 * first + second) / (0.6**2 * 0.9 + 1 + 0.1),
        (raters[0] * first + raters[1] * second) / (sum(raters) + 0.5),
        (raters[0] ** 2 * 0.95 * first + raters[1] ** 2 * second)
        / (raters[0] ** 2 * 0.95 + raters[1] ** 2 + 0.1),
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_moods_are_foretold_better_than_by_factors() -> None:
    world = moody()
    train, last = world.first(world.lengths - 1), world.offsets[1:] - 1
    closed = RatingRegression.fit(train)
    errors = [
        float(((rater.rate(train, world.item_rows[last]) - world.ratings[last]) ** 2).mean())
        for rater in (closed, closed.factors)
    ]
    assert errors[0] < 0.7 * errors[1]


def test_the_fit_sees_no_rating_that_it_is_asked_for() -> None:
    """Counted on each history's beginning; the ratings after it change the targets alone."""
    world = moody(users=30)
    kept = np.full(len(world), 7)
    changed = replace(world, ratings=np.where(np.tile(np.arange(12) >= 7, 30), 1.0, world.ratings))
    before = plain(world.first(kept), items=40)
    first, *_ = held_back(before, world, kept)
    second, *_ = held_back(before, changed, kept)
    np.testing.assert_array_equal(first[:30], second[:30])  # the first rating after 7 events, of 30 users


def test_too_few_ratings_leave_the_factors_alone() -> None:
    world = moody(users=10)
    closed = RatingRegression.fit(world)
    rows = np.arange(10)
    assert not closed.weights_F.any()
    np.testing.assert_array_equal(closed.rate(world, rows), closed.factors.rate(world, rows))


def test_the_ridge_finds_a_line_and_refuses_what_is_not_there() -> None:
    rng = np.random.default_rng(0)
    inputs, folds = rng.normal(size=(500, 3)), np.arange(500) % 5
    line = 0.5 + inputs @ [1.0, 0.0, -2.0]
    np.testing.assert_allclose(ridge(inputs, line, folds), [0.5, 1.0, 0.0, -2.0], atol=0.06)
    assert not ridge(inputs, np.zeros(500), folds).any()


def test_items_that_training_never_saw_are_answered() -> None:
    world = moody()
    closed = RatingRegression.fit(world, np.eye(40, dtype=np.float32))
    rates = closed.rate(world, np.full(len(world), 1000))
    assert np.isfinite(rates).all()
    cold = closed.rate(Histories.from_lists([[]]), np.array([3]))
    assert closed.biases.lowest <= cold[0] <= closed.biases.highest


def test_it_is_saved_and_loaded(six: Six, tmp_path: Path) -> None:
    artifacts = six.artifacts
    assert artifacts.ratings is not None
    weights = np.linspace(-0.3, 0.3, 1 + NUM_FEATURES).astype(np.float32)
    changed = replace(artifacts, ratings=replace(artifacts.ratings, weights_F=weights))
    save_artifacts(tmp_path, changed)
    again = load_artifacts(tmp_path, artifacts.recipe, six.dataset, torch.device("cpu"))
    assert changed.ratings is not None
    assert again.ratings is not None
    asked = (six.split.test.histories, six.split.test.target_rows)
    np.testing.assert_allclose(again.ratings.rate(*asked), changed.ratings.rate(*asked), atol=1e-5)


def test_a_run_of_an_older_version_is_one_line(six: Six) -> None:
    with pytest.raises(CheckpointError, match="older version of unimp"):
        saved_ratings({}, [3.0, 1.0, 5.0, 2.0], six.split.train, None)
