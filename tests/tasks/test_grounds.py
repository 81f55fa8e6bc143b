"""Sentences that tie an item to a history are counted, and true of the catalogue as it is now."""

from __future__ import annotations

from unimp.inference.second_stage import Reason
from unimp.tasks.explanation.grounds import grounds

from .corner_shop import CATALOG

MUG, LAMP, NO_MAKER = 2, 3, 11


def said(*reasons: Reason, row: int = MUG, has_events: bool = True) -> tuple[str, ...]:
    return grounds(CATALOG, reasons, row, has_events=has_events)


def value(attribute: str, *rows: int) -> Reason:
    return Reason(f"same {attribute}", "value", attribute, rows)


def test_a_shared_value_is_counted_and_its_latest_item_named() -> None:
    assert said(value("kind", 4)) == ("You chose thing4 before, of the same kind (mug).",)
    assert said(value("kind", 4, 0, 6)) == ("You chose 3 of the same kind before (mug), thing4 last.",)


def test_a_value_that_the_catalogue_no_longer_shares_is_not_told() -> None:
    assert said(value("kind", LAMP)) == ()
    assert said(value("kind", LAMP, 4)) == ("You chose thing4 before, of the same kind (mug).",)
    assert said(value("maker", 11), row=NO_MAKER) == ()


def test_an_equal_title_is_another_version() -> None:
    assert said(value("title", MUG)) == ("You chose thing2 before, in another version.",)


def test_what_no_customer_would_understand_is_not_said() -> None:
    assert said(value("item_id[:7]", 4), Reason("price"), Reason("alike in genres", rows=(1,))) == ()
    assert said(Reason("bought together", "bought")) == ()


def test_others_likeness_and_order_have_their_own_words() -> None:
    assert said(Reason("bought together", "bought", rows=(4, 1))) == (
        "Others who chose thing4 chose it too.",
    )
    assert said(Reason("next", "next", rows=(1,))) == ("Others chose it soon after thing1.",)
    assert said(Reason("alike in words", "words", rows=(1,))) == (
        "It is described like thing1, which you chose.",
    )
    assert said(Reason("alike in pictures", "pictures", rows=(1,))) == (
        "It looks like thing1, which you chose.",
    )


def test_two_sentences_at_most_each_about_another_kind_of_tie() -> None:
    reasons = [
        Reason("bought together", "bought", rows=(4,)),
        Reason("bought together in short histories", "bought", rows=(1,)),
        Reason("next", "next", rows=(1,)),
        value("kind", 4),
        Reason("alike in words", "words", rows=(1,)),
    ]
    assert said(*reasons) == (
        "Others who chose thing4 chose it too.",
        "You chose thing4 before, of the same kind (mug).",
    )


def test_of_an_item_that_nobody_could_choose_nobodys_choice_is_told() -> None:
    reasons = [Reason("bought together", "bought", rows=(4,)), value("kind", 4)]
    assert said(*reasons, has_events=False) == ("You chose thing4 before, of the same kind (mug).",)
