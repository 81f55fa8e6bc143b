"""Every task answers from what is kept of a user as it answers without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.six import Six
from unimp.answer import Query
from unimp.data.histories import Histories
from unimp.inference.warm import WarmMemory
from unimp.runs.answerer import Answerer
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.task import SelectionTask

ROOM = 2**24
Ask = Callable[[Answerer, Histories], object]

WANTED = np.array([17])
CANDIDATES = np.array([3, 17, 40, 41, 90])
ASKED: dict[str, Ask] = {
    "recommendation": lambda a, h: a.decoder(RecommendationTask).score(h),
    "search": lambda a, h: a.decoder(SearchTask).search(h, [Query("blue lamp", 40)]),
    "rating": lambda a, h: a.decoder(RatingTask).distribution(h, WANTED),
    "explanation": lambda a, h: [one.rating for one in a.decoder(ExplanationTask).explain(h, WANTED)],
    "selection": lambda a, h: a.decoder(SelectionTask).select(h, [CANDIDATES], [3])[0],
    "chances": lambda a, h: a.decoder(SelectionTask).probabilities(h, [CANDIDATES]),
    "imagination": lambda a, h: (
        a.decoder(ImageGenerationTask).imagine(h.select([0, 0]), [Query("red bag")] * 2, 5).astype(int)
    ),
    "words": lambda a, h: [
        ord(letter) for one in a.decoder(ExplanationTask).explain(h, WANTED) for letter in one.text
    ],
}


def rated(rows: Sequence[int]) -> Histories:
    """One user's events, rated but for every third."""
    bare = Histories.from_lists([rows])
    ratings = (1 + bare.item_rows % 5).astype(np.float32)
    ratings[::3] = np.nan
    return replace(bare, ratings=ratings)


@pytest.mark.parametrize("task", ASKED)
def test_growing_histories_equal_the_cold_answers(six: Six, task: str) -> None:
    """Nothing, the same again, one more event, several, and a history that is another one."""
    cold, memory = six.answerer, WarmMemory(ROOM)
    warm = cold.remembering(memory, "ann")
    turns = [[], [5], [5], [5, 7], [5, 7, 40, 41, 44], [5, 7, 40, 41, 44], [7, 40], [7, 9, 40]]
    for rows in turns:
        found, expected = ASKED[task](warm, rated(rows)), ASKED[task](cold, rated(rows))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]
    assert memory.outcomes["hit"] > 0
    assert memory.outcomes["extended"] > 0
    assert memory.outcomes["miss"] > 0


@pytest.mark.parametrize(("task", "events"), [("rating", 5), ("selection", 5), ("imagination", 5)])
def test_the_history_is_read_once(six: Six, task: str, events: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second question reads as much as a user without a history would let it."""
    warm = six.answerer.remembering(WarmMemory(ROOM), "ann")
    histories, read = rated(range(20, 20 + events)), []
    decoder = six.answerer.model.decoder
    original = decoder.forward

    def counted(x_BTD: torch.Tensor, *more: object) -> torch.Tensor:
        read.append(x_BTD.shape[0] * x_BTD.shape[1])
        return original(x_BTD, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder, "forward", counted)
    totals = []
    for _ in range(2):
        read.clear()
        ASKED[task](warm, histories)
        totals.append(sum(read))
    assert totals[1] <= totals[0] - 2 * events  # each event has two positions: the item and its category


def test_states_of_an_item_that_was_put_are_dropped(six: Six) -> None:
    """Also where the item stands in the history by its picture alone."""
    memory = WarmMemory(ROOM)
    warm = six.answerer.remembering(memory, "ann")
    for ask in ASKED.values():
        ask(warm, rated([5, 7, 40]))
    assert len(memory) >= 6
    memory.forget_items([41])
    assert len(memory) >= 6
    memory.forget_items([40])
    assert len(memory) == 0
