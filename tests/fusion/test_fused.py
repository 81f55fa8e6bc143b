"""The second stage over methods: what leaks not, what is the same again, and what is said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unimp.baselines import METHODS
from unimp.baselines.baseline import TrainingData
from unimp.core.errors import CheckpointError, ConfigError, DataError
from unimp.data.histories import Cases, FloatArray, Histories
from unimp.fusion.config import FusionConfig
from unimp.fusion.fitting import usable
from unimp.fusion.fused import FeaturesOnly, FeaturesOnlyConfig, FusedRanker, FusionMaker
from unimp.fusion.learned import LearnedFusion
from unimp.fusion.sampling import sample_choices
from unimp.fusion.trees import Shortlists, dataset, fit_fold
from unimp.fusion.with_validation import with_validation
from unimp.metrics.ranking import rank_cases, ranking_metrics
from unimp.testing.world import toy_world

QUICK = FusionConfig(kind="learned", rounds=5, candidates=20, folds=2)


@cache
def training() -> TrainingData:
    return toy_world().training


@cache
def fused(kind: str = "learned", method: str = "") -> FusedRanker:
    """A fusion of few trees on the toy world."""
    ranker: Any = FeaturesOnly(FeaturesOnlyConfig())
    if method:
        ranker = METHODS[method].make()
        ranker.fit(training(), seed=0)
    return FusionMaker(training()).fit(ranker, QUICK.changed(kind=kind))


def quality(ranker: Any) -> float:
    return ranking_metrics(rank_cases(ranker, toy_world().split.test), (5,))["NDCG@5"]


@pytest.mark.parametrize("kind", ["closed", "learned"])
def test_features_alone_and_with_a_method_rank_well(kind: str) -> None:
    assert quality(fused(kind)) >= 0.6
    assert quality(fused(kind, "itemknn")) >= 0.6
    assert "model" in fused(kind, "itemknn").features.names
    assert "model" not in fused(kind).features.names


def test_scores_are_finite_whole_and_of_one_user_alone() -> None:
    histories = toy_world().split.test.histories.slice(0, 12)
    together = fused().score(histories)
    assert together.shape == (12, 61)
    assert np.isfinite(together).all()
    alone = np.concatenate([fused().score(histories.slice(user, user + 1)) for user in range(12)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_no_history_a_single_event_and_an_item_that_nobody_had() -> None:
    unknown = toy_world().unknown_item
    scores = fused().score(Histories.from_lists([[], [7], [unknown], [3, unknown, 3]]))
    assert np.isfinite(scores).all()
    log = with_validation(training().train, training().valid)
    popularity = np.bincount(log.item_rows, minlength=61)
    assert popularity[scores[0].argmax()] == popularity.max()


def test_the_same_seed_gives_the_same_scores() -> None:
    histories = toy_world().split.test.histories
    again = FusionMaker(training()).fit(FeaturesOnly(FeaturesOnlyConfig()), QUICK)
    np.testing.assert_array_equal(fused().score(histories), again.score(histories))


def test_save_and_load_are_exact(tmp_path: Path) -> None:
    ranker, histories = fused(), toy_world().split.test.histories
    assert ranker.learned is not None
    ranker.learned.save(tmp_path)
    loaded = replace(ranker, learned=LearnedFusion.load(tmp_path))
    np.testing.assert_array_equal(ranker.score(histories), loaded.score(histories))
    assert loaded.learned is not None
    assert loaded.learned.reached == ranker.learned.reached
    next(tmp_path.glob("trees-*.txt")).unlink()
    with pytest.raises(CheckpointError, match="fit it again"):
        LearnedFusion.load(tmp_path)


# ---- what must not leak


def test_targets_are_neither_in_their_histories_nor_counted() -> None:
    """On targets drawn by lot nothing can be learnt; a fusion that saw them would rank them first."""
    split = toy_world().split
    random = np.random.default_rng(3)
    lot = random.integers(0, 60, len(split.valid))
    blind = Cases(split.valid.histories, lot, split.valid.target_events)
    data = replace(training(), valid=blind)
    found = FusionMaker(data).fit(FeaturesOnly(FeaturesOnlyConfig()), QUICK.changed(candidates=55))
    assert found.learned is not None
    reached = found.learned.reached
    assert reached.logit < 0.15  # chance among 60 items is .05
    assert len(reached.trees) == QUICK.folds
    assert all(value < 0.15 for value in reached.trees)


def test_the_graphs_hold_training_events_alone() -> None:
    relations = FusionMaker(training()).relations(QUICK)
    counts = np.bincount(training().train.item_rows, minlength=61)
    had = counts > 0
    np.testing.assert_allclose(np.expm1(relations.popularity[had]), counts[had], rtol=1e-5)


def test_a_target_that_its_history_holds_is_not_learned_from() -> None:
    split = toy_world().split
    first = split.valid.histories.item_rows[split.valid.histories.offsets[0]]
    targets = split.valid.target_rows.copy()
    targets[0], targets[1] = first, -1
    cases = Cases(split.valid.histories, targets, split.valid.target_events)
    kept = usable(cases, QUICK, exclude=True)
    assert not {0, 1} & set(kept.tolist())
    assert 0 in usable(cases, QUICK, exclude=False)
    assert len(set(kept.tolist())) == len(kept) == len(split.valid) - 2


def test_no_item_of_the_history_is_an_alternative() -> None:
    maker, split = FusionMaker(training()), toy_world().split
    ranker = fused()
    users = np.array([0, 5])
    choices, _ = sample_choices(ranker.features, split.valid, users, None, exclude=True, seed=0)
    taken = np.exp(choices.offsets).sum(axis=1)
    lengths = [len(set(split.valid.histories.items_of(int(user)).tolist())) for user in users]
    # Everything but the history stands in the sum exactly once.
    np.testing.assert_allclose(taken, [61 - length for length in lengths], rtol=1e-5)
    assert maker.relations(QUICK).num_items == 61


def test_a_fold_is_grown_without_the_users_it_is_judged_on() -> None:
    """Labels of the fold left out may change as they like: the trees stay as they are."""
    random = np.random.default_rng(0)
    features = random.standard_normal((600, 10, 4)).astype(np.float32)
    hits = features[:, :, 0].argmax(axis=1)
    inside, outside = np.arange(0, 500), np.arange(500, 600)
    other = hits.copy()
    other[outside] = random.integers(0, 10, len(outside))
    config = QUICK.changed(rounds=3)
    texts = []
    for labels in (hits, other):
        (booster,) = fit_fold(dataset(Shortlists(features, labels)), inside, outside, config, 0)
        texts.append(booster.model_to_string(num_iteration=1).partition("feature_importances")[0])
    assert texts[0] == texts[1]
    learnt = dataset(Shortlists(features, np.where(np.arange(600) < 500, 9 - hits, hits)))
    (changed,) = fit_fold(learnt, inside, outside, config, 0)
    assert changed.model_to_string(num_iteration=1).partition("feature_importances")[0] != texts[0]


# ---- bad input


class Silent:
    """Gives no score for every third user."""

    def __init__(self) -> None:
        self.inner = METHODS["itemknn"].make()
        self.inner.fit(training(), seed=0)

    def score(self, histories: Histories) -> FloatArray:
        scores = self.inner.score(histories)
        silent = [row for row, name in enumerate(histories.user_ids) if name.endswith(("1", "4", "7"))]
        scores[silent] = np.nan
        return scores


def test_users_without_scores_are_ranked_by_features_and_counted() -> None:
    ranker = FusionMaker(training()).fit(Silent(), QUICK)
    histories = toy_world().split.test.histories
    scores = ranker.score(histories)
    assert np.isfinite(scores).all()
    silent = sum(name.endswith(("1", "4", "7")) for name in histories.user_ids)
    assert ranker.details["cases_without_scores"] == silent > 0


def test_without_validation_cases_one_line_says_so() -> None:
    empty = training().valid.select(np.zeros(0, dtype=np.int64))
    with pytest.raises(ConfigError, match="no validation cases"):
        FusionMaker(replace(training(), valid=empty)).fit(FeaturesOnly(FeaturesOnlyConfig()), QUICK)
    few = training().valid.select(np.arange(3))
    with pytest.raises(DataError, match="3 validation cases"):
        FusionMaker(replace(training(), valid=few)).fit(FeaturesOnly(FeaturesOnlyConfig()), QUICK)


def test_features_have_no_scores_of_their_own() -> None:
    with pytest.raises(ConfigError, match="--fusion closed or --fusion learned"):
        FeaturesOnly(FeaturesOnlyConfig()).score(Histories.from_lists([[1]]))


# ---- why


def test_relations_name_what_speaks_for_an_item() -> None:
    history = Histories.from_lists([[3, 4]])
    why = fused().relations(history, 5, most=4)
    assert why
    amounts = [part.amount for part in why]
    assert amounts == sorted(amounts, reverse=True)
    assert all(amount > 0 for amount in amounts)
    known = {name.partition(": ")[0] for name in fused().features.names}
    assert {part.relation for part in why} <= known
    with pytest.raises(ConfigError, match="only a learned fusion"):
        fused("closed").relations(history, 5)


def test_the_record_tells_what_was_fitted() -> None:
    told = fused().details
    assert told["features"][: len(told["weights"])] == list(told["weights"])
    assert len(told["reached"]["trees"]) == QUICK.folds
    assert "no alike in pictures" in told["missing"]
    assert fused("closed").details["terms"]
