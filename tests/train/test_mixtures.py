"""Mixtures: validation finds a source that helps, and leaves out what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.six import Six
from unimp.data.histories import Cases, FloatArray, Histories, IntArray
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import coordinate_search
from unimp.inference.score_sources import POPULARITY, WORDS, ScoreSources
from unimp.tasks.fitting import fit_fusion_weights
from unimp.tasks.rating.decoder import FACTORS, TASTE, lifted
from unimp.tasks.rating.fitting import fit_rating, taste_share
from unimp.tasks.rating.preference_percentile import PreferencePercentile
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.fitting import fit_recommendation_weights
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.fitting import fit_search
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.fitting import fit_selection
from unimp.tasks.selection.task import SelectionTask

CONFIG = StructureConfig(weights=(1.0, 1000.0), popularity_weights=(0.1,), recencies=(1.0, 0.6))


class Oracle:
    """Scores the right item of every held-out case 1, all others 0; a graph and a word match in one."""

    def __init__(self, cases: Cases, num_items: int, best_recency: float = 1.0) -> None:
        self.targets = dict(zip(cases.histories.user_ids.tolist(), cases.target_rows.tolist(), strict=True))
        self.num_items = num_items
        self.best_recency = best_recency

    def score(self, asked: Histories | list[str], recency: float = 1.0) -> FloatArray:
        """Of words nothing but their order is known: that of the cases."""
        users = asked.user_ids.tolist() if isinstance(asked, Histories) else list(self.targets)
        scores = np.zeros((len(users), self.num_items), dtype=np.float32)
        scores[np.arange(len(users)), [self.targets[user] for user in users]] = 1.0
        return scores if recency == self.best_recency else scores * np.float32(0.01)


class Noise:
    """The same few items for everyone."""

    def score(self, histories: Histories, recency: float) -> FloatArray:
        rng = np.random.default_rng(5)
        return np.tile(rng.random(320).astype(np.float32) * 0.001, (len(histories), 1))


def sources(six: Six, graph: Any, words: Any = None) -> ScoreSources:
    return ScoreSources(six.artifacts.popularity, {"noise": Noise(), "planted": graph}, words)  # type: ignore[dict-item]


def oracle(six: Six, best_recency: float = 1.0) -> Oracle:
    return Oracle(six.split.valid, len(six.dataset.catalog), best_recency)


def test_recommendation_finds_the_source_and_its_recency(six: Six) -> None:
    ranker = six.answerer.decoder(RecommendationTask)
    assert ranker is not None
    planted = replace(ranker, sources=sources(six, oracle(six, 0.6)))
    fitted = fit_recommendation_weights(planted, six.split.valid, CONFIG)
    share = fitted.fusion_weights.shares["planted"]
    assert (share.weight, share.recency) == (1000.0, 0.6)
    steps = list(fitted.reached.values())
    assert steps == sorted(steps)
    assert fitted.reached["round 2: planted"] == 1.0 > fitted.reached["model alone"]
    # What was promised is what the mixture gives.
    again = replace(planted, fusion_weights=fitted.fusion_weights)
    from unimp.metrics.ranking import rank_cases, ranking_metrics

    assert ranking_metrics(rank_cases(again, six.split.valid))["NDCG@5"] == 1.0


def test_search_finds_the_words(six: Six) -> None:
    searcher, task = six.answerer.decoder(SearchTask), six.task("search")
    assert searcher is not None
    useless = replace(six.artifacts, graphs={}).answerer(six.model()).decoder(SearchTask)
    assert useless is not None
    planted = replace(searcher, sources=ScoreSources(six.artifacts.popularity, {}, oracle(six)))  # type: ignore[arg-type]
    fitted = fit_search(planted, task, six.split.valid, CONFIG)
    assert set(fitted.fusion_weights.shares) == {WORDS}
    assert fitted.fusion_weights.shares[WORDS].recency == 1.0  # a query has no past
    assert fitted.reached["round 1: words"] == 1.0
    found = task.score(replace(planted, fusion_weights=fitted.fusion_weights), six.split.valid)
    assert found.metrics["NDCG@5"] == 1.0


def test_selection_finds_the_graph(six: Six) -> None:
    selector, task = six.answerer.decoder(SelectionTask), six.task("selection")
    assert selector is not None
    planted = replace(selector, sources=sources(six, oracle(six)))
    fitted = fit_selection(planted, task, six.split.valid, CONFIG)
    assert fitted.fusion_weights.shares["planted"].weight == 1000.0
    assert fitted.reached["round 2: planted"] == 1.0
    found = task.score(replace(planted, fusion_weights=fitted.fusion_weights), six.split.valid).metrics
    assert found["accuracy"] == found["accuracy-hard"] == 1.0


def test_what_selection_reached_alone_is_its_accuracy(six: Six) -> None:
    selector, task = six.answerer.decoder(SelectionTask), six.task("selection")
    fitted = fit_selection(selector, task, six.split.valid, CONFIG)
    found = task.score(selector, six.split.valid).metrics
    mean = (found["accuracy"] + found["accuracy-hard"]) / 2
    assert fitted.reached["model alone"] == pytest.approx(mean)


class Forecast:
    """Knows the ratings of validation; `shift` makes it lie."""

    def __init__(self, six: Six, shift: float) -> None:
        valid = six.split.valid
        truth = six.task("rating").truth(valid)
        self.ratings = dict(zip(valid.histories.user_ids.tolist(), truth.tolist(), strict=True))
        self.shift = shift

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        known = [self.ratings[user] + self.shift for user in histories.user_ids.tolist()]
        return np.array(known, dtype=np.float32)


def test_ratings_trust_a_forecast_that_is_right_and_no_other(six: Six) -> None:
    rater, task, valid = six.answerer.decoder(RatingTask), six.task("rating"), six.split.valid
    assert rater is not None
    rater = replace(rater, taste=None)
    right = replace(rater, factors=Forecast(six, 0.0))
    fitted = fit_rating(right, task, valid, StructureConfig())
    assert fitted.fusion_weights.shares[FACTORS].weight == max(StructureConfig().rating_weights)
    alone, reached = fitted.reached["model alone"], fitted.reached[FACTORS]
    assert alone == pytest.approx(task.score(rater, valid).metrics["RMSE"])
    assert reached < 0.2 * alone
    found = task.score(replace(right, fusion_weights=fitted.fusion_weights), valid).metrics["RMSE"]
    assert found == pytest.approx(reached, abs=0.01)  # the ends of the scale are not quite reached
    wrong = replace(rater, factors=Forecast(six, -20.0))
    fitted = fit_rating(wrong, task, valid, StructureConfig())
    assert fitted.fusion_weights.shares == {}
    assert fitted.reached[FACTORS] == fitted.reached["model alone"]
    nothing = fit_rating(replace(rater, factors=None), task, valid, StructureConfig())
    assert (nothing.fusion_weights.shares, nothing.reached) == ({}, {"model alone": alone})


def test_taste_is_the_place_of_the_item_by_lift_over_popularity(six: Six) -> None:
    ranker = six.answerer.decoder(RecommendationTask)
    assert ranker is not None
    histories, rows = Histories.from_lists([[1, 5, 9], [], [30, 31]]), np.array([7, 7, 200])
    found = PreferencePercentile(ranker).percentiles(histories, rows)
    lift = ranker.score(histories) - np.log1p(six.artifacts.popularity)
    for user in (0, 2):
        smaller = sum(float(value) < float(lift[user, rows[user]]) for value in lift[user])
        assert found[user] == pytest.approx(smaller / lift.shape[1])
    assert np.isnan(found[1])


def test_the_share_of_taste_by_hand() -> None:
    """What is missing rises by 2 from 0 to 1: weight 2, nothing at the mean, nothing for strangers."""
    share = taste_share(np.array([0.0, 0.5, 1.0, np.nan]), np.array([-1.2, 0.0, 0.8, 9.0]))
    assert (share.weight, share.centre) == (pytest.approx(2.0), 0.5)
    np.testing.assert_allclose(lifted(np.array([0.75, np.nan]), share), [0.5, 0.0], rtol=1e-5)
    assert taste_share(np.array([np.nan]), np.array([1.0])).weight == 0.0


def test_taste_moves_the_forecast_only_where_validation_gains(six: Six) -> None:
    rater, task, valid = six.answerer.decoder(RatingTask), six.task("rating"), six.split.valid
    assert rater is not None
    fitted = fit_rating(rater, task, valid, StructureConfig())
    gained = fitted.reached[TASTE] < fitted.reached[FACTORS]
    assert gained == (TASTE in fitted.fusion_weights.shares)
    found = task.score(replace(rater, fusion_weights=fitted.fusion_weights), valid).metrics["RMSE"]
    assert found == pytest.approx(fitted.reached[TASTE], abs=0.01)


def test_every_task_with_sources_gets_a_mixture(six: Six) -> None:
    fitted = fit_fusion_weights(six.answerer.parts, six.split.valid, CONFIG)
    assert set(fitted) == {"recommendation", "search", "rating", "selection"}
    for name, one in fitted.items():
        steps = list(one.reached.values())
        assert steps == sorted(steps, reverse=name == "rating")


def test_climbing_by_hand() -> None:
    """Two sources help together; the third only harms and is left out."""
    units = {"a": 1.0, "b": 10.0, POPULARITY: -1.0}

    def quality(scores: FloatArray) -> float:
        return -abs(float(scores[0]) - 23.0)

    fitted = coordinate_search(
        np.zeros(1, dtype=np.float32),
        list(units),
        lambda name, recency: np.array([units[name] * recency], dtype=np.float32),
        quality,
        StructureConfig(weights=(1.0, 2.0, 3.0), recencies=(1.0,), popularity_weights=(5.0,)),
    )
    assert {name: share.weight for name, share in fitted.fusion_weights.shares.items()} == {
        "a": 3.0,
        "b": 2.0,
    }
    assert fitted.reached["round 2: popularity"] == 0.0
    assert fitted.reached["model alone"] == -23.0
