"""Every task's sentences, written out by hand: roles, blocks, and what stands before the answer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tasks.corner_shop import CATALOG, CODES, HISTORY, REVIEWS, context, held_out, training
from unimp.answer import Query
from unimp.sentence.parts import (
    Answer,
    Asking,
    ChosenCandidates,
    Codes,
    GeneratedText,
    Image,
    ItemMention,
    Part,
    Rating,
    Role,
    Start,
    TaskDescription,
    UserSentence,
)
from unimp.tasks.explanation import task as explanation_task
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation import task as image_generation_task
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search import task as search_task
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection import task as selection_task
from unimp.tasks.selection.task import SelectionTask
from unimp.tasks.task import Task
from unimp.tasks.windows import Window

ALL = Window(0, 0, 3, draw=5)
ANSWER, CONTEXT, SHOWN = Role.ANSWER, Role.CONTEXT, Role.SHOWN


def said(sentence: UserSentence, task: type[Task]) -> list[Part]:
    """Without [CLS], the task's words and the pictures, which must be their items' own."""
    assert sentence.parts[:2] == (Start(), TaskDescription(task.words))
    for before, part in zip(sentence.parts, sentence.parts[1:], strict=False):
        if isinstance(part, Image) and isinstance(before, ItemMention):
            assert part == Image(
                before.item_row, before.block, CATALOG.picture_references[part.item_row] is not None
            )
    return [part for part in sentence.parts[2:] if not isinstance(part, Image)]


def test_recommendation() -> None:
    task = RecommendationTask(context())
    items = [ItemMention(3, 0, ANSWER), ItemMention(5, 1, ANSWER), ItemMention(1, 2, ANSWER)]
    assert said(task.sentence(training(), ALL), RecommendationTask) == items
    assert said(task.question(training(), 0), RecommendationTask) == items
    assert said(task.sentence(training(), Window(0, 1, 2)), RecommendationTask) == [ItemMention(5, 0, ANSWER)]


def test_rating() -> None:
    task = RatingTask(context())
    assert said(task.sentence(training(), ALL), RatingTask) == [
        *(ItemMention(3, 0), Rating(4.0, 0, ANSWER)),
        *(ItemMention(5, 1), Rating(None, 1, SHOWN)),
        *(ItemMention(1, 2), Rating(2.0, 2, ANSWER)),
    ]
    assert said(task.question(training(), 0, 8), RatingTask)[-2:] == [
        Rating(2.0, 2, CONTEXT),
        ItemMention(8, 3, SHOWN),
    ]


@pytest.mark.parametrize(("max_items", "kept"), [(1, []), (2, [1]), (3, [5, 1]), (9, [3, 5, 1])])
def test_a_rating_question_keeps_room_for_its_item(max_items: int, kept: list[int]) -> None:
    task = RatingTask(context(max_items=max_items))
    parts = said(task.question(training(), 0, 8), RatingTask)
    assert [part.item_row for part in parts if isinstance(part, ItemMention)] == [*kept, 8]


def test_explanation() -> None:
    task = ExplanationTask(context())
    told = [
        *(ItemMention(3, 0), Rating(4.0, 0, ANSWER), Answer(0), GeneratedText(str(REVIEWS[0]), 0)),
        *(ItemMention(5, 1), Rating(None, 1, SHOWN)),
        *(ItemMention(1, 2), Rating(2.0, 2, ANSWER), Answer(2), GeneratedText(str(REVIEWS[2]), 2)),
    ]
    assert said(task.sentence(training(), ALL), ExplanationTask) == told
    asked = said(task.question(training(), 0, 8), ExplanationTask)
    assert asked == [*told, ItemMention(8, 3, SHOWN)]
    rated = said(task.question(training(), 0, 8, 5.0), ExplanationTask)
    assert rated == [*asked, Rating(5.0, 3, SHOWN), Answer(3)]


def test_an_exam_in_words_holds_the_history_and_the_one_answer() -> None:
    (likelihood_examples,) = ExplanationTask(context()).likelihood_examples(held_out())
    assert said(likelihood_examples, ExplanationTask) == [
        *(ItemMention(3, 0, SHOWN), Rating(4.0, 0, SHOWN)),
        *(ItemMention(5, 1, SHOWN), Rating(None, 1, SHOWN)),
        *(ItemMention(1, 2, SHOWN), Rating(2.0, 2, SHOWN)),
        *(ItemMention(8, 3, SHOWN), Rating(5.0, 3, SHOWN), Answer(3), GeneratedText(str(REVIEWS[3]), 3)),
    ]


def test_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_task, "QUERY_SHARE", 0.0)  # the latest always has a query
    monkeypatch.setattr("unimp.tasks.queries.PICTURE_SHARE", 0.0)
    monkeypatch.setattr("unimp.tasks.queries.BOTH_SHARE", 0.0)
    task = SearchTask(context())
    *shown, asking, target = said(task.sentence(training(), ALL), SearchTask)
    assert shown == [ItemMention(3, 0), ItemMention(5, 1)]
    assert isinstance(asking, Asking)
    assert asking.block == 2
    assert asking.query.text in {"lamp", "Halden", "lamp Halden"}
    assert target == ItemMention(1, 3, ANSWER)
    question = task.question(training(), 0, Query("mug"))
    assert said(question, SearchTask)[2:] == [ItemMention(1, 2), Asking(Query("mug"), 3)]


def test_every_event_may_be_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_task, "QUERY_SHARE", 1.0)
    parts = said(SearchTask(context()).sentence(training(), ALL), SearchTask)
    assert [type(part) for part in parts] == [Asking, ItemMention] * 3
    assert [part.block for part in parts] == list(range(6))
    assert {part.role for part in parts if isinstance(part, ItemMention)} == {ANSWER}


def test_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_task, "CHOICE_SHARE", 0.0)  # the latest is always a choice
    task = SelectionTask(context())
    task.sold = task.everything  # this user alone bought all that was sold: there is nothing else to offer
    parts = said(task.sentence(training(), ALL), SelectionTask)
    assert parts[:2] == [ItemMention(3, 0), ItemMention(5, 1)]
    *candidates, answer, choice = parts[2:]
    assert isinstance(choice, ChosenCandidates)
    assert answer == Answer(1 + len(candidates), len(candidates) + selection_task.BESIDES)
    assert choice == ChosenCandidates(choice.candidates, (1,), 1 + len(candidates))
    assert candidates == [ItemMention(row, 2 + place, SHOWN) for place, row in enumerate(choice.candidates)]
    assert 2 <= len(candidates) <= 10
    assert set(choice.candidates) & set(HISTORY[:3]) == {1}


def test_the_history_goes_on_with_what_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_task, "CHOICE_SHARE", 1.0)
    task = SelectionTask(context())
    several = 0
    for draw in range(30):
        parts = said(task.sentence(training(), Window(0, 0, 3, draw=draw)), SelectionTask)
        chosen = [part.chosen for part in parts if isinstance(part, ChosenCandidates)]
        assert [row for rows in chosen for row in rows] == [3, 5, 1]
        several += max(map(len, chosen)) - 1
        following = [
            parts[place + 1 : place + 1 + len(part.chosen)]
            for place, part in enumerate(parts)
            if isinstance(part, ChosenCandidates)
        ]
        for rows, mentions in zip(chosen[:-1], following[:-1], strict=True):
            assert [(part.item_row, part.role) for part in mentions] == [(row, SHOWN) for row in rows]  # type: ignore[union-attr]
        assert following[-1] == []
    assert several > 0


def test_a_question_of_choice_ends_after_what_was_chosen() -> None:
    parts = said(SelectionTask(context()).question(training(), 0, [7, 8, 9], [8]), SelectionTask)
    assert parts[2:] == [
        *(ItemMention(1, 2), ItemMention(7, 3, SHOWN), ItemMention(8, 4, SHOWN), ItemMention(9, 5, SHOWN)),
        *(Answer(5, 3 + selection_task.BESIDES), ChosenCandidates((7, 8, 9), (8,), 5, complete=False)),
    ]


def test_imagination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_generation_task, "COLD_SHARE", 0.0)
    monkeypatch.setattr(image_generation_task, "UNGUIDED_SHARE", 0.0)
    parts = said(ImageGenerationTask(context()).sentence(training(), ALL), ImageGenerationTask)
    assert parts[:2] == [ItemMention(3, 0), ItemMention(5, 1)]
    assert isinstance(parts[2], Asking)
    assert parts[2].query != Query()
    assert parts[3:] == [Answer(2), Codes(tuple(CODES[1].tolist()), 2)]


def test_a_picture_may_be_asked_for_without_words_or_without_a_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_generation_task, "COLD_SHARE", 1.0)
    monkeypatch.setattr(image_generation_task, "UNGUIDED_SHARE", 1.0)
    parts = said(ImageGenerationTask(context()).sentence(training(), ALL), ImageGenerationTask)
    assert parts == [Asking(Query(), 0), Answer(0), Codes(tuple(CODES[1].tolist()), 0)]


def test_a_question_for_a_picture_says_no_code() -> None:
    parts = said(ImageGenerationTask(context()).question(training(), 0, Query("mug")), ImageGenerationTask)
    assert parts[3:] == [Asking(Query("mug"), 3), Answer(3), Codes((), 3)]
    (likelihood_examples,) = ImageGenerationTask(context()).likelihood_examples(held_out())
    asked, answer, codes = said(likelihood_examples, ImageGenerationTask)[3:]
    assert isinstance(asked, Asking)
    assert set(asked.query.text.split()) <= {"mug", "Halden"}
    assert (answer, codes) == (Answer(3), Codes(tuple(CODES[8].tolist()), 3))


def test_only_so_many_events_are_told() -> None:
    """The latest ones, for words as for pictures."""
    from unimp.data.histories import Histories

    long = Histories.from_lists([[row % 11 for row in range(40)]])
    drawn = said(ImageGenerationTask(context()).question(long, 0, Query()), ImageGenerationTask)
    told = said(ExplanationTask(context()).question(long, 0, 11), ExplanationTask)
    rows = [part.item_row for part in drawn if isinstance(part, ItemMention)]
    assert rows == long.item_rows[-image_generation_task.MOST_EVENTS :].tolist()
    rows = [part.item_row for part in told if isinstance(part, ItemMention)]
    assert rows == [*long.item_rows[-explanation_task.MOST_EVENTS + 1 :].tolist(), 11]


def test_a_window_of_a_picture_ends_at_its_item() -> None:
    task = ImageGenerationTask(context())
    stops = {
        window.stop
        for seed in range(30)
        for window in task.windows(training(), 50, np.random.default_rng(seed))
    }
    assert stops == {1, 2, 3}


def test_an_item_without_picture_is_not_drawn() -> None:
    from unimp.data.histories import Histories

    task = ImageGenerationTask(context())
    assert task.windows(Histories.from_lists([[0], [0, 0]]), 50, np.random.default_rng(0)) == []
