"""The linear teacher: what it speaks from, and that it never speaks from a user's own future."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.train.conftest import write_ring

from unimp.core.errors import ConfigError
from unimp.data.histories import FloatArray, Histories
from unimp.data.splits import leave_one_out
from unimp.features.item_graph import ease_graph
from unimp.fusion import teacher
from unimp.fusion.config import TeacherConfig
from unimp.fusion.features import Features
from unimp.fusion.teacher import RelationTeacher, teach
from unimp.runs.training_split import TrainingSplit

FOLDS = 3


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingSplit:
    """60 users who walk round a ring of 20 items."""
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "cache"))
    dataset = write_ring(tmp_path / "data")
    return TrainingSplit.of(dataset, leave_one_out(dataset.interactions.histories, len(dataset.catalog)))


def only_ease(features: Features, histories: Histories, *, exclude: bool) -> FloatArray:
    """Weights under which the teacher is EASE."""
    return np.array([name.endswith("(linear model): sum") for name in features.names], dtype=np.float32)


def test_relations_are_counted_without_the_users_fold(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "fit_weights", only_ease)
    config = TeacherConfig(items=4, folds=FOLDS, l2=2.0)
    items, parts = teach(split.catalog, split.train, config, exclude=True)
    assert parts.sum(axis=1) == pytest.approx(1, abs=1e-5)
    num_items = len(split.catalog)
    for fold in range(FOLDS):
        others = split.train.select([user for user in range(len(split.train)) if user % FOLDS != fold])
        graph = ease_graph(others, num_items, l2=2.0)
        user = fold + FOLDS  # any of the fold
        for known in range(1, int(split.train.lengths[user]) + 1):
            history = split.train.slice(user, user + 1).first(known)
            scores = 64 * graph.score(history)[0]
            scores[history.item_rows] = -np.inf
            row = split.train.offsets[user] + known - 1
            best = np.sort(scores)[::-1][:4]
            odds = np.exp(best - best[0])
            assert scores[items[row]] == pytest.approx(best, abs=1e-4)
            assert parts[row] == pytest.approx(odds / odds.sum(), abs=1e-4)


def test_a_later_event_of_a_user_changes_no_earlier_target(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "fit_weights", only_ease)
    config = TeacherConfig(items=5, folds=FOLDS)
    first, last = split.train.offsets[1], split.train.offsets[2] - 1
    rows = split.train.item_rows.copy()
    rows[last] = (rows[last] + 7) % len(split.catalog)
    before = teach(split.catalog, split.train, config, exclude=True)
    after = teach(split.catalog, replace(split.train, item_rows=rows), config, exclude=True)
    assert after[0][first:last].tolist() == before[0][first:last].tolist()
    assert np.array_equal(after[1][first:last], before[1][first:last])
    assert not np.array_equal(after[1][last], before[1][last])  # behind the changed event it may


def test_it_knows_more_than_chance_and_is_made_once(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, train = TeacherConfig(items=3), split.train
    items, parts = RelationTeacher(split.catalog, train, config).targets("linear")
    follows = np.flatnonzero(train.owners()[1:] == train.owners()[:-1])
    hits = [train.item_rows[event + 1] in items[event] for event in follows]
    assert np.mean(hits) > 0.5  # of 20 items on a ring, 3 by chance: .15
    monkeypatch.setattr(teacher, "teach", None)
    again = RelationTeacher(split.catalog, train, config).targets("linear")
    assert np.array_equal(again[0], items)
    assert np.array_equal(again[1], parts)


def test_items_without_events_are_no_targets_where_the_loss_does_not_look(split: TrainingSplit) -> None:
    never = int(split.train.item_rows[0])
    keep = split.train.item_rows != never
    owners = split.train.owners()[keep]
    thinned = Histories.from_owners(owners, split.train.item_rows[keep])
    config = TeacherConfig(items=19, folds=FOLDS)
    items, parts = teach(split.catalog, thinned, config, exclude=True, cold_items=False)
    assert not (items == never).any()
    assert parts.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_catalogue_that_is_too_large_is_refused(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "DENSE_ITEMS", 19)
    with pytest.raises(ConfigError, match=r"distillation\.share: .* 19 items at most.* has 20; set it to 0"):
        RelationTeacher(split.catalog, split.train, TeacherConfig()).targets("linear")
