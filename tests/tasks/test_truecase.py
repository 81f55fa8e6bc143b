"""Words are spelled as training sentences spell them within a sentence."""

from __future__ import annotations

import pytest

from unimp.tasks.explanation.truecase import Truecase

SAID = [
    "Love the Mirabel dress.",
    "Dress from Mirabel, it is fine.",
    "I'd buy the dress; I am glad.",
    "USB is USB.",
]


@pytest.mark.parametrize(
    ("small", "spelled"),
    [
        ("i love the mirabel dress", "I love the Mirabel dress"),
        ("the dress from mirabel.", "The dress from Mirabel."),
        ("now i'd say i'm glad", "Now I'd say I'm glad"),
        ("a usb lamp", "A USB lamp"),
        ("", ""),
    ],
)
def test_the_most_frequent_form_within_a_sentence_counts(small: str, spelled: str) -> None:
    assert Truecase(SAID).spelled(small) == spelled


def test_the_first_word_says_nothing_and_equals_are_settled_by_their_letters() -> None:
    assert Truecase(["Warm light.", "Warm shade."]).spelled("a warm lamp") == "A warm lamp"
    assert Truecase(["A Red lamp", "A red lamp"]).spelled("a red mug") == "A Red mug"
    assert Truecase([]).spelled("a red mug") == "A red mug"
