"""The teacher's trees: which ones judge whom, and how their scores become probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.conftest import write_ring

from unimp.data.histories import NO_TIME, FloatArray
from unimp.data.splits import leave_one_out
from unimp.fusion import fitting
from unimp.fusion.config import TeacherConfig
from unimp.fusion.features import Features
from unimp.fusion.history_view import HistoryView
from unimp.fusion.teacher import FoldFeatures, teach, timeless
from unimp.fusion.teacher_ranker import TeacherRanker, fit_ranker, largest, sharpness
from unimp.runs.training_split import TrainingSplit

FOLDS = 3


class Booster:
    """Scores candidates by their place in the list, rising or falling."""

    def __init__(self, sign: int) -> None:
        self.sign = sign

    def predict(self, flat: FloatArray, num_threads: int) -> Any:
        assert num_threads == 1
        return np.arange(len(flat), dtype=np.float64) * self.sign


@pytest.fixture
def split(tmp_path: Path) -> TrainingSplit:
    """60 users who walk round a ring of 20 items."""
    dataset = write_ring(tmp_path / "data")
    return TrainingSplit.of(dataset, leave_one_out(dataset.interactions.histories, len(dataset.catalog)))


@pytest.fixture
def features(split: TrainingSplit) -> Features:
    _, _, found = next(iter(FoldFeatures(split.catalog, timeless(split.train), TeacherConfig(folds=FOLDS))))
    return found


def test_each_fold_is_judged_by_its_own_trees(split: TrainingSplit, features: Features) -> None:
    past = HistoryView.of(split.train, 0, 1.0)
    weights = np.linspace(-1, 1, len(features.names), dtype=np.float32)
    ranker = TeacherRanker(weights, [Booster(1), Booster(-1)], np.array([0.5, 0.0], dtype=np.float32))
    config = TeacherConfig(items=4)
    rising, parts = ranker.distributions(features, [past], [past.rows], 0, config)
    falling, _ = ranker.distributions(features, [past], [past.rows], 1, config)
    assert rising[0].tolist() == falling[0].tolist()[::-1]
    odds = np.exp(-0.5 * np.arange(4))
    assert parts[0] == pytest.approx(odds / odds.sum(), abs=1e-6)
    assert not set(rising[0]) & set(past.rows)
    logit = TeacherRanker(weights).distributions(features, [past], [past.rows], 0, config)[0]
    assert falling[0].tolist() == logit[0].tolist()  # falling by place: the logit's own order


def test_rows_that_may_not_be_named_have_no_part(split: TrainingSplit, features: Features) -> None:
    past = HistoryView.of(split.train, 0, 1.0)
    weights = np.ones(len(features.names), dtype=np.float32)
    away = np.arange(18)
    for boosters in ((), (Booster(1),)):
        ranker = TeacherRanker(weights, boosters, np.ones(2, dtype=np.float32))
        items, parts = ranker.distributions(features, [past], [away], 0, TeacherConfig(items=5))
        assert set(items[0][parts[0] > 0]) <= {18, 19}
        assert parts[0].sum() == pytest.approx(1, abs=1e-5)


def test_sharpness_is_the_likeliest() -> None:
    """One score, 1 apart, right in three of four cases: log 3."""
    scores = np.tile(np.array([[1.0], [0.0]], dtype=np.float32), (4, 1, 1))
    assert sharpness(scores, np.array([0, 0, 1, 0])) == pytest.approx([np.log(3)], abs=1e-3)


def test_trees_are_fitted_on_all_folds_and_without_times(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "FEWEST_HITS", 10)
    config = TeacherConfig(kind="trees", items=6, folds=FOLDS)
    folds = list(FoldFeatures(split.catalog, timeless(split.train), config))
    assert all((histories.times == NO_TIME).all() for _, histories, _ in folds)
    ranker = fit_ranker(folds, config, exclude=True)
    assert len(ranker.boosters) == FOLDS
    assert ranker.sharpness is not None
    items, parts = teach(split.catalog, split.train, config, exclude=True)
    assert parts.sum(axis=1) == pytest.approx(1, abs=1e-5)
    follows = np.flatnonzero(split.train.owners()[1:] == split.train.owners()[:-1])
    hits = [split.train.item_rows[event + 1] in items[event] for event in follows]
    assert np.mean(hits) > 0.6  # six of 20 items on a ring, by chance: .3


def test_with_few_hits_the_logit_stands(split: TrainingSplit) -> None:
    trees, linear = (
        teach(split.catalog, split.train, TeacherConfig(kind=kind, items=5, folds=FOLDS), exclude=True)
        for kind in ("trees", "linear")
    )
    assert np.array_equal(trees[0], linear[0])
    assert trees[1] == pytest.approx(linear[1], abs=1e-6)


def test_the_largest_and_their_softmax() -> None:
    places, parts = largest(np.array([0.0, -np.inf, np.log(3)], dtype=np.float32), 3)
    assert places.tolist() == [2, 0, 2]
    assert parts == pytest.approx([0.75, 0.25, 0.0], abs=1e-6)
