"""What each source of scores says, by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from unimp.answer import Query
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import FloatArray, Histories
from unimp.features.text import WordMatch, fit_text
from unimp.inference.score_sources import PICTURE, POPULARITY, WORDS, ScoreSources, SourceWeight

TITLES = ["red mug", "red lamp", "blue mug", "blue lamp"]
CATALOG = Catalog(
    pl.DataFrame({"item_id": list("abcd"), "title": TITLES}).with_columns(
        picture=pl.lit(None, dtype=pl.String)
    ),
    (Attribute("title", "text"),),
    "title",
)
POPULAR = np.array([0.0, 1.0, 3.0, 7.0], dtype=np.float32)
PICTURES = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0], [0.8, 0.6]], dtype=np.float32)
"""Of four items, the last without a picture, and one from outside."""
NOBODY = Histories.from_lists([[], []])


class Graph:
    def score(self, histories: Histories, recency: float) -> FloatArray:
        return np.full((len(histories), 4), recency, dtype=np.float32)


@pytest.fixture
def sources() -> ScoreSources:
    projector = fit_text(CATALOG, 3)
    assert projector is not None
    return ScoreSources(POPULAR, {"log": Graph()}, WordMatch(projector, CATALOG), PICTURES)  # type: ignore[dict-item]


def test_popularity_is_the_same_for_all(sources: ScoreSources) -> None:
    found = sources.score(POPULARITY, SourceWeight(weight=2.0), NOBODY)
    np.testing.assert_allclose(found, 2 * np.log1p(POPULAR)[None], rtol=1e-5)


def test_words_are_weighed_by_likeness(sources: ScoreSources) -> None:
    queries = [Query("RED mug"), Query("blue"), Query("")]
    found = sources.score(WORDS, SourceWeight(weight=3.0), NOBODY, queries)
    half = 0.5
    np.testing.assert_allclose(found[0], [3.0, 3 * half, 3 * half, 0.0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], [0.0, 0.0, 3 * half**0.5, 3 * half**0.5], rtol=1e-5, atol=1e-6)
    assert not found[2].any()


def test_pictures_are_compared_and_those_from_outside_are_no_answers(sources: ScoreSources) -> None:
    queries = [Query("", picture_row=0), Query("red"), Query("", picture_row=4), Query("", picture_row=3)]
    found = sources.score(PICTURE, SourceWeight(weight=2.0), NOBODY, queries)
    expected = [[2.0, 0.0, 1.2, 0.0], [0.0] * 4, [1.6, 1.2, 1.92, 0.0], [0.0] * 4]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_graph_is_told_the_recency(sources: ScoreSources) -> None:
    found = sources.score("log", SourceWeight(weight=2.0, recency=0.8), NOBODY)
    np.testing.assert_allclose(found, np.full((2, 4), 1.6), rtol=1e-5)


def test_names_are_of_what_can_say_something(sources: ScoreSources) -> None:
    assert sources.names(None) == ["log", POPULARITY]
    assert sources.names([Query("red")]) == [WORDS, "log", POPULARITY]
    assert sources.names([Query("", picture_row=0)]) == [WORDS, PICTURE, "log", POPULARITY]
    assert sources.names([Query("red"), Query("", picture_row=1)]) == [WORDS, PICTURE, "log", POPULARITY]
    assert ScoreSources(POPULAR).names([Query("red", picture_row=1)]) == [POPULARITY]


def test_a_source_that_is_not_there_adds_nothing() -> None:
    bare = ScoreSources(POPULAR)
    for name in ("log", WORDS, PICTURE):
        found = bare.score(name, SourceWeight(weight=5.0), NOBODY, [Query("red", picture_row=1)] * 2)
        assert found.shape == (1, 4)
        assert not found.any()
