"""Ratings and choices of a model with random weights: what must hold whatever it has learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.six import Six
from unimp.answer import Query
from unimp.core.errors import ConfigError
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.pixels import load_pixels
from unimp.inference.score_sources import FusionWeights, ScoreSources, SourceWeight
from unimp.sentence.vocabulary import END
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.decoder import FACTORS, ModelRater, mixed, tilted
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.decoder import ModelSelector
from unimp.tasks.selection.task import SelectionTask


def rater_of(six: Six, weight: float | None = None) -> ModelRater:
    rater = six.answerer.decoder(RatingTask)
    assert rater is not None
    shares = {} if weight is None else {FACTORS: SourceWeight(weight=weight)}
    return replace(rater, fusion_weights=FusionWeights(shares=shares))


def test_a_forecast_is_a_distribution_over_the_scale(six: Six) -> None:
    cases = six.split.test
    for weight in (None, 0.3, 1.0):
        p = rater_of(six, weight).distribution(cases.histories, cases.target_rows)
        assert p.shape == (len(cases), 5)
        assert p.min() >= 0
        np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-5)
    assert rater_of(six).levels.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_more_weight_moves_the_forecast_towards_the_closed_form(six: Six) -> None:
    """In proportion, within the scale, for every user."""
    asked, factors = (six.split.test.histories, six.split.test.target_rows), six.artifacts.ratings
    assert factors is not None
    own, other = rater_of(six).rate(*asked), np.clip(factors.rate(*asked), 1.004, 4.996)
    for weight in (0.0, 0.25, 0.5, 1.0):
        found = rater_of(six, weight).rate(*asked)
        np.testing.assert_allclose(found, own + weight * (other - own), atol=5e-3)
        np.testing.assert_allclose(mixed(own, other, weight), own + weight * (other - own), rtol=1e-5)


def test_no_weight_is_the_model_alone(six: Six) -> None:
    asked = (six.split.test.histories, six.split.test.target_rows)
    alone = rater_of(six).distribution(*asked)
    np.testing.assert_allclose(rater_of(six, 0.0).distribution(*asked), alone, rtol=1e-4)
    np.testing.assert_allclose(np.exp(rater_of(six).log_probabilities(*asked)), alone, rtol=1e-5)


def test_tilting_by_hand() -> None:
    """Even over 1, 2, 3: a mean of 2 needs no tilt; 1 : 2 : 4 has the mean 17 / 7, and 4 : 2 : 1 11 / 7."""
    levels, even = np.array([1.0, 2.0, 3.0], dtype=np.float32), np.full((3, 3), 1 / 3, dtype=np.float32)
    found = tilted(even, levels, np.array([2.0, 17 / 7, 11 / 7], dtype=np.float32))
    expected = [[1 / 3] * 3, [1 / 7, 2 / 7, 4 / 7], [4 / 7, 2 / 7, 1 / 7]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_mean_beyond_the_scale_is_its_end() -> None:
    levels, even = np.arange(1.0, 6.0, dtype=np.float32), np.full((2, 5), 0.2, dtype=np.float32)
    found = tilted(even, levels, np.array([9.0, -3.0], dtype=np.float32))
    np.testing.assert_allclose(found @ levels, [5.0, 1.0], atol=0.01)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)


def selector_of(six: Six, end: float | None = None) -> ModelSelector:
    """`end`: the score of choosing no more, the same wherever it is asked."""
    selector = six.answerer.decoder(SelectionTask)
    assert selector is not None
    if end is None:
        return selector
    original = selector.model.choice_logits

    def scored(hidden: torch.Tensor, choices: torch.Tensor, table: torch.Tensor, token: int) -> torch.Tensor:
        assert token == six.artifacts.vocabulary.markers[END]
        logits = original(hidden, choices, table, token)
        logits[:, 0] = end
        return logits

    model = six.model()
    model.choice_logits = scored  # type: ignore[method-assign]
    return replace(selector, model=model)


def candidates_of(six: Six) -> tuple[Histories, list[IntArray]]:
    """From two to ten candidates."""
    choices = six.task("selection").choices(six.split.test, several=True)
    rows = [rows[: 2 + user % 9] for user, rows in enumerate(choices.candidates)]
    return choices.histories, rows


def test_as_many_are_chosen_as_were_asked_for(six: Six) -> None:
    histories, candidates = candidates_of(six)
    counts = [1 + user % 3 for user in range(len(candidates))]
    chosen = selector_of(six).select(histories, candidates, counts)
    for places, rows, count in zip(chosen, candidates, counts, strict=True):
        assert len(places) == min(count, len(rows)) == len(set(places.tolist()))
        assert set(places.tolist()) <= set(range(len(rows)))


def test_each_choice_is_the_likeliest_of_those_left(six: Six) -> None:
    selector = selector_of(six)
    histories, candidates = candidates_of(six)
    chosen = selector.select(histories, candidates, [2] * len(candidates))
    for user in range(0, len(candidates), 9):
        alone = histories.select([user])
        first, _ = selector.log_probabilities(alone, [candidates[user]])
        assert chosen[user][0] == first[0].argmax()
        taken = [int(candidates[user][chosen[user][0]])]
        second, _ = selector.log_probabilities(alone, [candidates[user]], [taken])
        assert np.isneginf(second[0, chosen[user][0]])
        assert chosen[user][1] == second[0].argmax()


def test_probabilities_of_candidates_and_of_ending_sum_to_one(six: Six) -> None:
    histories, candidates = candidates_of(six)
    scores, ends = selector_of(six).log_probabilities(histories, candidates)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1) + np.exp(ends), 1.0, rtol=1e-4)
    for row, rows in zip(scores, candidates, strict=True):
        assert np.isneginf(row[len(rows) :]).all()


@pytest.mark.parametrize(("end", "share"), [(1e9, 0.0), (-1e9, 1.0)])
def test_without_a_count_the_model_decides(six: Six, end: float, share: float) -> None:
    """At least one; as many as are likelier than to end."""
    histories, candidates = candidates_of(six)
    chosen = selector_of(six, end).select(histories, candidates, [0] * len(candidates))
    for places, rows in zip(chosen, candidates, strict=True):
        assert len(places) == (len(rows) if share else 1)


def test_a_candidate_named_twice_is_chosen_once(six: Six) -> None:
    history = Histories.from_lists([[1, 2]])
    rows = np.array([5, 9, 5, 5], dtype=np.int64)
    for count in (0, 4):
        (places,) = selector_of(six, -1e9).select(history, [rows], [count])
        assert sorted(rows[places].tolist()) == [5, 9]


def test_no_candidates_no_choice(six: Six) -> None:
    history = Histories.from_lists([[1], [2]])
    none = np.empty(0, dtype=np.int64)
    found = selector_of(six).select(history, [none, np.array([3])], [1, 1])
    assert [places.tolist() for places in found] == [[], [0]]


class Favourite:
    def score(self, histories: Histories, recency: float) -> FloatArray:
        scores = np.zeros((len(histories), 320), dtype=np.float32)
        scores[:, 7] = 1.0
        return scores


def test_a_source_with_weight_decides(six: Six) -> None:
    selector = selector_of(six)
    planted = replace(
        selector,
        sources=ScoreSources(six.artifacts.popularity, {"log": Favourite()}),  # type: ignore[dict-item]
        fusion_weights=FusionWeights(shares={"log": SourceWeight(weight=1e4)}),
    )
    histories = Histories.from_lists([[1], [2, 3], []])
    rows = [np.array([3, 7]), np.array([7, 1, 4]), np.array([9, 8, 6, 7])]
    chosen = planted.select(histories, rows, [1, 1, 1])
    assert [places.tolist() for places in chosen] == [[1], [0], [3]]


def test_other_users_change_no_answer(six: Six) -> None:
    answerer, cases = six.answerer, six.split.test
    _, candidates = candidates_of(six)
    users = [0, 3, 11]
    few = cases.histories.select(users)
    queries = [posed.query for posed in six.task("search").queries(cases)]

    def close(together: FloatArray, alone: FloatArray) -> None:
        np.testing.assert_allclose(together[users], alone, rtol=1e-3, atol=1e-4)

    close(
        answerer.decoder(RecommendationTask).score(cases.histories),
        answerer.decoder(RecommendationTask).score(few),
    )
    close(
        answerer.decoder(SearchTask).search(cases.histories, queries),
        answerer.decoder(SearchTask).search(few, [queries[user] for user in users]),
    )
    close(
        answerer.decoder(RatingTask).distribution(cases.histories, cases.target_rows),
        answerer.decoder(RatingTask).distribution(few, cases.target_rows[users]),
    )
    counts = [1] * len(cases)
    chosen = answerer.decoder(SelectionTask).select(cases.histories, candidates, counts)
    again = answerer.decoder(SelectionTask).select(few, [candidates[user] for user in users], counts[:3])
    assert [chosen[user].tolist() for user in users] == [places.tolist() for places in again]


def test_nobody_asks_nothing(six: Six) -> None:
    answerer, nobody = six.answerer, Histories.from_lists([])
    none = np.empty(0, dtype=np.int64)
    empty: Sequence[IntArray] = []
    assert answerer.decoder(RecommendationTask).score(nobody).shape == (0, 320)
    assert answerer.decoder(SearchTask).search(nobody, []).shape == (0, 320)
    assert answerer.decoder(RatingTask).rate(nobody, none).shape == (0,)
    assert answerer.decoder(SelectionTask).select(nobody, empty, []) == []
    assert answerer.decoder(ExplanationTask).explain(nobody, none) == []
    assert answerer.decoder(ImageGenerationTask).imagine(nobody, [], 0).shape == (0, 16, 16, 3)


def test_a_task_that_was_not_trained_is_named(six: Six) -> None:
    kept = {n: decoder for n, decoder in six.answerer.decoders.items() if n not in {"search", "imagination"}}
    bare = replace(six.answerer, decoders=kept)
    assert bare.tasks == ["recommendation", "rating", "explanation", "selection"]
    with pytest.raises(ConfigError, match="without the task search; it has: recommendation, rating"):
        bare.decoder(SearchTask)
    with pytest.raises(ConfigError, match="without the task imagination"):
        bare.decoder(ImageGenerationTask)


def test_a_picture_from_outside_is_searched_for_as_one_of_the_catalogue(six: Six) -> None:
    """The tokens of item 40's picture, shown as if uploaded, find the same items."""
    answerer, visual = six.answerer, six.artifacts.items.visual_IVE
    assert visual is not None
    row = int(np.flatnonzero(np.array(six.artifacts.template.has_picture))[40])
    history = Histories.from_lists([[1, 2]])
    seeing = answerer.seeing(visual[[row]].float())
    outside = seeing.decoder(SearchTask).search(history, [Query("", picture_row=320)])
    for one in (seeing, answerer):
        inside = one.decoder(SearchTask).search(history, [Query("", picture_row=row)])
        np.testing.assert_allclose(outside, inside, rtol=1e-4, atol=1e-4)


def test_pixels_from_outside_are_seen_as_the_catalogues_are(six: Six) -> None:
    """The same pixels, read-only as a decoded upload is, give the same visual tokens."""
    catalog, vision, visual = six.dataset.catalog, six.artifacts.recipe.vision, six.artifacts.items.visual_IVE
    assert visual is not None
    pixels = load_pixels(catalog, vision.height, vision.image_width)
    assert pixels is not None
    rows = np.flatnonzero(pixels.present)[:3]
    upload = pixels.values[rows]
    upload.flags.writeable = False
    seen = six.artifacts.see(six.model(), upload)
    torch.testing.assert_close(seen, visual[rows].float(), rtol=2e-3, atol=2e-3)
