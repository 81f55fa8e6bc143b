"""On the generated shop: training covers every event once, and no answer stands before its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.six import Six
from unimp.data.histories import Histories
from unimp.sentence.parts import (
    Asking,
    ChosenCandidates,
    GeneratedText,
    ItemMention,
    Part,
    Role,
    Text,
    UserSentence,
)
from unimp.tasks import TASKS, extra_words
from unimp.tasks.image_generation.task import MOST_EVENTS
from unimp.tasks.windows import Window

DENSE = ["recommendation", "search", "rating", "explanation", "selection"]
SHORT = 3
"""Longest window: histories have to be cut."""


def windows(six: Six, name: str, seed: int = 0, max_items: int = SHORT) -> list[Window]:
    found: list[Window] = six.task(name).windows(six.split.train, max_items, np.random.default_rng(seed))
    return found


def mentions(sentence: UserSentence) -> list[int]:
    return [part.item_row for part in sentence.parts if isinstance(part, ItemMention)]


@pytest.mark.parametrize("name", DENSE)
def test_windows_cover_every_event_once(six: Six, name: str) -> None:
    covered = [(w.user, event) for w in windows(six, name) for event in range(w.start, w.stop)]
    lengths = six.split.train.lengths.tolist()
    assert sorted(covered) == [(user, event) for user, n in enumerate(lengths) for event in range(n)]
    assert max(w.stop - w.start for w in windows(six, name)) == SHORT


@pytest.mark.parametrize("name", list(TASKS))
def test_cuts_and_draws_are_new_in_every_epoch_and_the_same_by_seed(six: Six, name: str) -> None:
    assert windows(six, name, 1) == windows(six, name, 1)
    assert windows(six, name, 1) != windows(six, name, 2)


def test_pictures_are_drawn_of_items_all_along_the_histories(six: Six) -> None:
    """One per stretch of events, each ending at the item drawn, which has a picture."""
    train, codes = six.split.train, six.artifacts.context.codes
    assert codes is not None
    drawn = set()
    for seed in range(30):
        for window in windows(six, "imagination", seed, max_items=50):
            row = int(train.items_of(window.user)[window.stop - 1])
            assert codes[row].min() >= 0
            assert window.start == 0
            drawn.add((window.user, window.stop))
    pictured = codes[train.item_rows, 0] >= 0
    assert len(drawn) > 0.9 * pictured.sum()


@pytest.mark.parametrize("name", list(TASKS))
def test_the_same_draw_is_the_same_sentence(six: Six, name: str) -> None:
    task, window = six.task(name), windows(six, name)[3]
    assert task.sentence(six.split.train, window) == task.sentence(six.split.train, window)


def before_answers(sentence: UserSentence) -> list[tuple[int, tuple[Part, ...]]]:
    """(item row, parts before it) of every item that is predicted, in the order of the sentence."""
    return [
        (part.item_row, sentence.parts[:place])
        for place, part in enumerate(sentence.parts)
        if isinstance(part, ItemMention) and part.role != Role.SHOWN
    ]


@pytest.mark.parametrize("name", ["recommendation", "search", "rating", "explanation"])
def test_no_item_stands_before_its_own_prediction(six: Six, name: str) -> None:
    """Users of this shop never meet an item twice: what stands before is other items, and queries."""
    task, train = six.task(name), six.split.train
    for window in windows(six, name, max_items=50):
        sentence = task.sentence(train, window)
        for row, before in before_answers(sentence):
            assert row not in {part.item_row for part in before if isinstance(part, ItemMention)}
            assert row not in {part.query.picture_row for part in before if isinstance(part, Asking)}
        assert mentions(sentence) == train.items_of(window.user)[window.start : window.stop].tolist()


def questions(six: Six, name: str) -> list[UserSentence]:
    """What is asked of every held-out case."""
    task, cases = six.task(name), six.split.test
    histories, targets = cases.histories, cases.target_rows.tolist()
    extra: list[tuple[Any, ...]]
    match name:
        case "search":
            extra = [(posed.query,) for posed in task.queries(cases)]
        case "rating" | "explanation":
            extra = [(row,) for row in targets]
        case "selection":
            extra = [(rows.tolist(),) for rows in task.choices(cases).candidates]
        case "imagination":
            extra = [(query,) for query in task.guidance(cases)]
        case _:
            extra = [() for _ in targets]
    return [task.question(histories, user, *more) for user, more in enumerate(extra)]


@pytest.mark.parametrize("name", list(TASKS))
def test_a_held_out_item_occurs_in_no_training_sentence_of_its_user(six: Six, name: str) -> None:
    """Neither the test item nor the validation item, except as a wrong candidate drawn for someone else."""
    task, split = six.task(name), six.split
    held = {
        (user, row)
        for cases in (split.valid, split.test)
        for user, row in zip(cases.histories.user_ids.tolist(), cases.target_rows.tolist(), strict=True)
    }
    for window in windows(six, name, max_items=50):
        sentence = task.sentence(split.train, window)
        user = str(split.train.user_ids[window.user])
        told = {
            part.item_row
            for part in sentence.parts
            if isinstance(part, ItemMention) and part.role != Role.SHOWN
        }
        told |= {row for part in sentence.parts if isinstance(part, ChosenCandidates) for row in part.chosen}
        assert not told & {row for owner, row in held if owner == user}


@pytest.mark.parametrize("name", ["recommendation", "search", "imagination"])
def test_a_question_shows_the_history_and_never_the_target(six: Six, name: str) -> None:
    cases = six.split.test
    for user, sentence in enumerate(questions(six, name)):
        target = int(cases.target_rows[user])
        kept = MOST_EVENTS if name == "imagination" else six.artifacts.recipe.sentence.max_items
        assert mentions(sentence) == cases.histories.items_of(user)[-kept:].tolist()
        assert target not in mentions(sentence)
        asked = [part.query for part in sentence.parts if isinstance(part, Asking)]
        assert target not in {query.picture_row for query in asked}
        title = six.dataset.catalog.label(target).lower()
        assert not any(title in query.text.lower() for query in asked)


def test_a_held_out_review_is_never_told(six: Six) -> None:
    task, cases = six.task("explanation"), six.split.test
    truth, _ = task.truth(cases)
    assert sum(text is not None for text in truth) > 20
    for user, sentence in enumerate(questions(six, "explanation")):
        own = {
            six.artifacts.context.review_sentence(event)
            for event in cases.histories.select([user]).event_rows.tolist()
        }
        told = {part.words for part in sentence.parts if isinstance(part, GeneratedText)}
        assert told <= own
        if truth[user] not in own:
            assert truth[user] not in told


def test_an_exam_in_words_shows_the_history_alone(six: Six) -> None:
    task, cases = six.task("explanation"), six.split.valid
    likelihood_examples_of = iter(task.likelihood_examples(cases))
    for case, text in enumerate(task.truth(cases)[0]):
        if text:
            sentence = next(likelihood_examples_of)
            expected = [*cases.histories.items_of(case)[-9:].tolist(), int(cases.target_rows[case])]
            assert mentions(sentence) == expected
            assert [part.words for part in sentence.parts if isinstance(part, GeneratedText)] == [text]
            assert isinstance(sentence.parts[-1], GeneratedText)
            assert {part.role for part in sentence.parts if isinstance(part, ItemMention | Text)} == {
                Role.SHOWN
            }
    assert next(likelihood_examples_of, None) is None


def test_words_of_validation_and_test_are_not_learned_from(six: Six) -> None:
    """Aspects and vocabulary come from the events of the training part alone."""
    context, train = six.artifacts.context, six.split.train
    allowed = {context.review_sentence(row) for row in train.event_rows.tolist()}
    logged = {text for texts in context.queries.logged.values() for text in texts}
    assert set(extra_words(six.artifacts.tasks, context)) <= allowed | logged
    trained = set(zip(train.user_ids[train.owners()].tolist(), train.item_rows.tolist(), strict=True))
    held_out = {
        text for key, texts in context.queries.logged.items() if key not in trained for text in texts
    } - {text for key, texts in context.queries.logged.items() if key in trained for text in texts}
    assert held_out
    assert not held_out & set(context.training_queries())


@pytest.mark.parametrize("name", list(TASKS))
def test_an_empty_history_can_be_asked(six: Six, name: str) -> None:
    from unimp.answer import Query

    nobody = Histories.from_lists([[]])
    extra: dict[str, tuple[Any, ...]] = {
        "search": (Query("mug"),),
        "rating": (3,),
        "explanation": (3, 4.0),
        "selection": ([1, 2],),
        "imagination": (Query(),),
    }
    sentence = six.task(name).question(nobody, 0, *extra.get(name, ()))
    assert len(six.artifacts.encoder.encode(sentence)) > 0
