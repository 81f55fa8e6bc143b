"""The closed second stage and popularity about a time, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fusion.test_features import relations_of, shop

from unimp.data.histories import NO_TIME, Histories
from unimp.fusion.closed import ClosedFusion, sources, unit
from unimp.fusion.graphs import Relation
from unimp.fusion.period_popularity import MOST_PERIODS, popularity_by_period
from unimp.fusion.relations import LINEAR, WORDS, Relations
from unimp.inference.score_sources import POPULARITY, SourceWeight

LOG = np.zeros((7, 7), dtype=np.float32)
LOG[0, 1], LOG[2, 1] = 2.0, 3.0
LIKE = np.zeros((7, 7), dtype=np.float32)
LIKE[0, 5], LIKE[2, 5] = 0.6, 0.9
HISTORY = Histories.from_lists([[0, 2]])


@pytest.fixture
def relations() -> Relations:
    made = relations_of(shop(none=[], title=["a b", "b c", "c d", "d e", "e f", "f a", "a c"]))
    likenesses = {**made.likenesses, WORDS: Relation(LIKE)}
    return replace(made, log_graphs={**made.log_graphs, LINEAR: Relation(LOG)}, likenesses=likenesses)


def test_a_graph_is_summed_over_the_history_and_likeness_is_its_mean(relations: Relations) -> None:
    assert unit(relations, LINEAR, 0.5, HISTORY)[0, 1] == pytest.approx(0.5 * 2.0 + 3.0)
    assert unit(relations, WORDS, 0.5, HISTORY)[0, 5] == pytest.approx((0.5 * 0.6 + 0.9) / 1.5)
    np.testing.assert_array_equal(unit(relations, POPULARITY, 0.5, HISTORY)[0], relations.popularity)


def test_score_is_the_methods_log_probability_and_every_weighed_form(relations: Relations) -> None:
    terms = {LINEAR: SourceWeight(weight=4.0, recency=0.5), POPULARITY: SourceWeight(weight=-0.5)}
    fusion = ClosedFusion(terms, {})
    model = np.arange(7, dtype=np.float32)[None]
    popular = relations.popularity
    found = fusion.score(relations, HISTORY, model)[0]
    assert found[1] == pytest.approx(1.0 + 4.0 * 4.0 - 0.5 * popular[1])
    assert found[6] == pytest.approx(6.0 - 0.5 * popular[6])
    alone = fusion.score(relations, HISTORY, None)[0]
    np.testing.assert_allclose(alone, found - model[0], rtol=1e-5, atol=1e-6)


def test_sources_are_those_that_the_data_have(relations: Relations) -> None:
    assert sources(relations) == (LINEAR, WORDS, POPULARITY)
    without = {name: graph for name, graph in relations.log_graphs.items() if name != LINEAR}
    bare = replace(relations, log_graphs=without, likenesses={})
    assert sources(bare) == ("bought together", POPULARITY)


def log_at(times: list[int], rows: list[int]) -> Histories:
    plain = Histories.from_lists([rows])
    return replace(plain, times=np.array(times, dtype=np.int64))


def test_popularity_about_a_time_counts_the_period_that_the_time_lies_in() -> None:
    by_period = popularity_by_period(log_at([10, 10, 20, 20, 20], [0, 1, 1, 1, 2]), 3)
    assert by_period is not None
    assert by_period.starts.tolist() == [10, 20]
    np.testing.assert_allclose(by_period.at(19), np.log1p([1, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(by_period.at(20), np.log1p([0, 2, 1]), rtol=1e-6)
    np.testing.assert_allclose(by_period.at(99), np.log1p([0, 2, 1]), rtol=1e-6)
    np.testing.assert_allclose(by_period.at(1), np.log1p([1, 1, 0]), rtol=1e-6)


def test_many_times_make_periods_of_equally_many_events() -> None:
    events = 4 * MOST_PERIODS
    by_period = popularity_by_period(log_at(list(range(events)), [0] * events), 1)
    assert by_period is not None
    assert len(by_period.starts) == MOST_PERIODS
    counts = np.expm1(by_period.popularity[:, 0])
    assert counts.sum() == pytest.approx(events, rel=1e-5)
    assert counts.max() <= 5


@pytest.mark.parametrize("times", [[5, 5, 5], [5, int(NO_TIME), 6], []])
def test_without_times_that_differ_there_are_no_periods(times: list[int]) -> None:
    assert popularity_by_period(log_at(times, [0] * len(times)), 1) is None
