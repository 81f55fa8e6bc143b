"""Mask M: own tokens see their item's picture, answers what their sentence showed before them."""

from __future__ import annotations

import polars as pl
import pytest

from unimp.answer import Query
from unimp.data.catalog import Attribute, Catalog
from unimp.sentence.batch import Batch, collate
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.parts import Role
from unimp.sentence.template import SentenceConfig, Template, Writer
from unimp.sentence.vocabulary import TokenizerConfig, build_vocabulary

CATALOG = Catalog(
    pl.DataFrame(
        {
            "item_id": list("abcde"),
            "picture": ["a.png", "b.png", "c.png", "d.png", None],
            "title": ["red", "blue", "green", "black", "white"],
        }
    ),
    (Attribute("title", "text"),),
    "title",
)
VOCABULARY = build_vocabulary(CATALOG, None, [], TokenizerConfig(min_frequency=1), (16, 4))
NONE = 4
"""The item without a picture."""


def begin() -> Writer:
    return Template(CATALOG, SentenceConfig(task_words=False, fields=())).begin("x")


def lay(*writers: Writer, answers: str = "all") -> Batch:
    encoder = SentenceEncoder(VOCABULARY, "values", answers_see_all=answers == "all")
    return collate([encoder.encode(writer.done()) for writer in writers])


def seen(batch: Batch) -> dict[tuple[int, int], list[int]]:
    """(sentence, position) -> rows of the pictures it sees."""
    found: dict[tuple[int, int], list[int]] = {}
    width = batch.items.shape[1]
    for view in batch.views:
        places = set()
        for position, group, slot in zip(
            view.positions.tolist(), view.group.tolist(), view.slot.tolist(), strict=True
        ):
            assert (group, slot) not in places, "two positions share a slot"
            assert slot < view.slots
            places.add((group, slot))
            rows = [int(batch.picture_rows[p]) for p in view.pictures[group].tolist() if p >= 0]
            assert divmod(position, width) not in found, "a position is in two views"
            found[divmod(position, width)] = sorted(rows)
    return found


def test_an_answer_sees_what_was_shown_before_it_and_nothing_later() -> None:
    writer = begin().item(0).item(2).answer().speech("red").item(1)
    writer.item(3).answer().speech("blue", complete=False)
    # [CLS] 0 2 [answer] red [end] 1 3 [answer] blue
    assert seen(lay(writer)) == {
        (0, 1): [0],
        (0, 2): [2],
        (0, 3): [0, 2],
        (0, 4): [0, 2],
        (0, 5): [0, 2],
        (0, 6): [1],
        (0, 7): [3],
        (0, 8): [0, 1, 2, 3],
        (0, 9): [0, 1, 2, 3],
    }


def test_an_answer_sees_none_of_another_sentences_pictures() -> None:
    first, second = begin().item(0).answer(), begin().item(1).item(0).answer()
    assert seen(lay(first, second)) == {
        (0, 1): [0],
        (0, 2): [0],
        (1, 1): [1],
        (1, 2): [0],
        (1, 3): [0, 1],
    }


def test_an_answer_with_nothing_to_see_is_left_out() -> None:
    blind = begin().item(NONE).answer().speech("red")
    assert lay(blind).views == ()
    beside = lay(blind, begin().item(1).answer(), begin().item(NONE).answer())
    assert seen(beside) == {(1, 1): [1], (1, 2): [1]}


def test_pictures_shown_after_every_answer_are_seen_by_no_answer() -> None:
    """An empty group among full ones: slots and groups still fit together."""
    writer = begin().answer().speech("red", complete=False).item(2).answer().item(3)
    assert seen(lay(writer)) == {(0, 3): [2], (0, 4): [2], (0, 5): [3]}


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (2, [0, 1]), (3, [0, 1, 2]), (9, [0, 1, 2, 3])])
def test_an_answer_sees_so_many_of_the_latest_pictures(count: int, rows: list[int]) -> None:
    writer = begin().item(0).item(3).item(2).item(0).item(NONE).item(1).item(1)
    assert seen(lay(writer.answer(count).speech("red", complete=False)))[0, 9] == rows


def test_a_picture_shown_twice_is_seen_once() -> None:
    assert seen(lay(begin().item(1).item(1).answer()))[0, 3] == [1]


def test_own_answers_see_the_latest_items_picture() -> None:
    writers = (
        begin().item(0).item(2).answer().codes([1, 2, 3, 4]),
        begin().item(0, Role.SHOWN).item(1, Role.SHOWN).answer().choice([0, 1], [0]),
        begin().item(3).answer().speech("red"),
        begin().item(3).item(NONE).answer().speech("red"),
    )
    latest = {0: [2], 1: [1], 2: [3], 3: None}
    found = seen(lay(*writers, answers="own"))
    for row, rows in latest.items():
        encoder = SentenceEncoder(VOCABULARY, "values")
        one = encoder.encode(writers[row].done())
        for place in range(int((one.sees > 0).argmax()), len(one)):
            assert found.get((row, place)) == rows


def test_positions_behind_others_see_what_those_showed() -> None:
    """The rest of a sentence, its beginning left out, beside a whole one."""
    encoder = SentenceEncoder(VOCABULARY, "values")
    writers = (
        begin().item(0).item(NONE).item(2).told().item(1).answer().speech("red", complete=False),
        begin().item(3).told().asking(Query("", picture_row=0)).answer(),
    )
    whole = [encoder.encode(writer.done()) for writer in writers]
    expected = seen(collate(whole))
    for start in (1, 2, whole[0].history):
        found = seen(collate([whole[0].after(start), whole[1]]))
        moved = {(row, place + start * (row == 0)): rows for (row, place), rows in found.items()}
        assert moved == {key: rows for key, rows in expected.items() if key[0] or key[1] >= start}


def test_a_querys_words_see_its_picture() -> None:
    batch = lay(begin().item(0).asking(Query("red", picture_row=2)).item(1, Role.ANSWER))
    assert seen(batch) == {(0, 1): [0], (0, 2): [2], (0, 3): [1]}
