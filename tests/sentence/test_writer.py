"""The writer: which part has which role, and to which item it belongs."""

from __future__ import annotations

from tests.sentence.test_template import CATALOG
from unimp.answer import Query
from unimp.sentence.parts import (
    NO_BLOCK,
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
    Text,
)
from unimp.sentence.template import HistoryEvent, SentenceConfig, Template, Writer


def begin(**config: object) -> Writer:
    return Template(CATALOG, SentenceConfig.model_validate({"fields": ["brand"], **config})).begin("do it")


def parts_of(writer: Writer) -> tuple[Part, ...]:
    """Without [CLS] and the task's words."""
    parts = writer.done().parts
    assert parts[:2] == (Start(), TaskDescription("do it"))
    return parts[2:]


def test_an_answered_item_is_an_answer_and_its_attributes_are_context() -> None:
    assert parts_of(begin().item(0, Role.ANSWER)) == (
        ItemMention(0, 0, Role.ANSWER),
        Image(0, 0, present=True),
        Text("brand", "Acme", 0, Role.CONTEXT),
    )


def test_what_is_shown_is_shown_whole() -> None:
    assert parts_of(begin().item(1).item(0, Role.SHOWN)) == (
        ItemMention(1, 0, Role.CONTEXT),
        Image(1, 0, present=False),
        ItemMention(0, 1, Role.SHOWN),
        Image(0, 1, present=True),
        Text("brand", "Acme", 1, Role.SHOWN),
    )


def test_a_rating_belongs_to_the_item_written_last() -> None:
    writer = begin(fields=[]).item(0).rating(4.0, Role.ANSWER).item(1).rating(None, Role.SHOWN)
    ratings = [part for part in parts_of(writer) if isinstance(part, Rating)]
    assert ratings == [Rating(4.0, 0, Role.ANSWER), Rating(None, 1, Role.SHOWN)]


def test_a_query_is_a_block_of_its_own_and_shows_its_picture() -> None:
    words, both = Query("red"), Query("red", picture_row=0)
    assert parts_of(begin(fields=[]).item(1).asking(words).asking(both)) == (
        ItemMention(1, 0),
        Image(1, 0, present=False),
        Asking(words, 1),
        Image(0, 2, present=True),
        Asking(both, 2),
    )


def test_answers_belong_to_the_block_before_them() -> None:
    writer = begin(fields=[]).item(0)
    writer.answer().choice([0, 1], [1]).speech("good", complete=False).codes([3, 4])
    assert parts_of(writer)[2:] == (
        Answer(0),
        ChosenCandidates((0, 1), (1,), 0),
        GeneratedText("good", 0, complete=False),
        Codes((3, 4), 0),
    )


def test_an_answer_without_any_item_belongs_to_none() -> None:
    assert parts_of(begin().answer().codes([1])) == (Answer(NO_BLOCK), Codes((1,), NO_BLOCK))


def test_the_role_of_a_history_is_that_of_its_items() -> None:
    template = Template(CATALOG, SentenceConfig(ratings=True, fields=()))
    for role in Role:
        parts = template.history([HistoryEvent(0, 2.0), HistoryEvent(1)], "x", role).done().parts
        assert [part.role for part in parts if isinstance(part, ItemMention)] == [role] * 2
        assert [part.role for part in parts if isinstance(part, Rating)] == [Role.CONTEXT] * 2
