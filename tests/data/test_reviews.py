"""The explanation sentence of a review, and what reviews name."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import Histories
from unimp.data.review_sentences import clean_text, reads_well, split_sentences, tidy, tokens_of
from unimp.data.reviews import (
    MAX_WORDS,
    AspectConfig,
    AspectLexicon,
    Reviews,
    fit_lexicon,
    item_aspects,
    named_aspects,
    pick_sentence,
    reviews_of,
)

LEXICON = AspectLexicon({("strap",): "strap", ("leather",): "leather", ("castor", "lund"): "castor & lund"})
TWO = AspectConfig(min_reviews=3, max_share=0.6, min_gathering=1.5)


def catalog() -> Catalog:
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c"],
            "picture": [None, None, None],
            "brand": ["Castor & Lund", "Okapi", None],
            "title": ["Leather strap", "Mug", "Lamp"],
        },
        schema_overrides={"picture": pl.String},
    )
    return Catalog(items, (Attribute("brand", "category"), Attribute("title", "text")), "title")


def spoken(texts: list[str], rows: list[int], ratings: list[float]) -> Reviews:
    return Reviews(
        np.arange(len(texts)),
        np.array(rows),
        np.array(ratings, dtype=np.float32),
        tuple(texts),
        ("",) * len(texts),
    )


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("A &#34;good&#34; one &amp;amp; more<br />here", 'A "good" one & more here'),
        ("Wow!!!!  It works ,  really..", "Wow! It works, really..."),
        ("It’s fine", "It's fine"),
    ],
)
def test_clean_text(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It holds.The tan colour is nice! Buy it", ["It holds.", "The tan colour is nice!", "Buy it"]),
        ("It cost $79.95 at Dr. Bean's. Fine.", ["It cost $79.95 at Dr. Bean's.", "Fine."]),
        ("Made in the U.S.A of oak. Good.", ["Made in the U.S.A of oak.", "Good."]),
        ("Well... it works... Good.", ["Well... it works...", "Good."]),
        ("", []),
    ],
)
def test_split_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@given(st.text(alphabet='aB1 .!?,"()-I&\n', max_size=80))
def test_no_letter_is_lost_in_splitting(text: str) -> None:
    clean = clean_text(text)
    assert "".join(split_sentences(clean)).replace(" ", "") == clean.replace(" ", "")


def test_tidy_gives_a_capital_and_a_full_stop() -> None:
    assert tidy("- it holds well") == "It holds well."
    assert tidy('"A fine strap."') == "A fine strap."


@pytest.mark.parametrize(
    "sentence",
    [
        *("THIS STRAP is good.", "Why no cover for it?", "I bought this (which is fine.", "It is of the."),
        *("Good price,I am glad.", "The sound was...", "But the strap holds well.", "My review says no."),
        *("See http://a.b for the strap.", "Pros: it holds well.", ""),
    ],
)  # fmt: skip
def test_what_a_reader_would_stumble_over(sentence: str) -> None:
    assert not reads_well(sentence)


def test_the_sentence_that_names_most_is_picked_and_the_earliest_of_equals() -> None:
    review = "I like this one. The leather strap by Castor & Lund holds. A strap of leather by Castor & Lund."
    assert pick_sentence(review, "Great", LEXICON) == "The leather strap by Castor & Lund holds."


def test_a_review_without_a_fit_sentence_gives_its_summary_or_nothing() -> None:
    assert pick_sentence("Good. Too " + "very " * 25 + "long.", "NICE STRAP", LEXICON) == "Nice strap."
    assert pick_sentence("Good.", "Great", LEXICON) is None
    assert pick_sentence("Good.", "Five Stars", LEXICON) is None
    assert pick_sentence(None, None, LEXICON) is None


@given(st.text(alphabet="abI. !?,()", max_size=200))
def test_a_picked_sentence_has_at_most_twenty_words(review: str) -> None:
    picked = pick_sentence(review, None, LEXICON)
    assert picked is None or len(tokens_of(picked)) <= MAX_WORDS


def test_named_aspects_are_whole_words_once_each_the_longest_first() -> None:
    assert named_aspects("Straps: a STRAP, Castor & Lund leather strap", LEXICON) == (
        "strap", "castor & lund", "leather",
    )  # fmt: skip


def test_the_lexicon_holds_words_that_gather_at_items_and_category_values() -> None:
    texts = ["wooden strap it arrived", "wooden strap it arrived", "it arrived", "it arrived"] * 3
    rows = [0, 0, 1, 2] * 3
    lexicon = fit_lexicon(spoken(texts, rows, [5, 4, 5, 4] * 3), catalog(), TWO)
    assert set(lexicon.phrases.values()) == {"wooden", "strap", "castor & lund", "okapi"}


def test_a_word_that_goes_with_the_rating_judges_and_is_no_aspect() -> None:
    texts = ["strap"] * 8 + ["mug"] * 8 + ["lamp"] * 8 + ["lamp gruesome"] * 6
    rows = np.repeat([0, 1, 2, 3], 8).tolist()[:30]
    lexicon = fit_lexicon(spoken(texts, rows, [5.0] * 24 + [1.0] * 6), catalog(), TWO)
    assert {"strap", "mug"} <= set(lexicon.phrases.values())
    assert "gruesome" not in lexicon
    even = fit_lexicon(spoken(texts, rows, [5.0] * 30), catalog(), TWO)
    assert "gruesome" in even


def test_item_aspects_come_from_the_given_histories_and_the_item_itself() -> None:
    events = pl.DataFrame(
        {"review": ["A leather one", None, "the strap"], "summary": [None, "Okapi straps", None]}
    )
    plain = Histories.from_lists([[1, 2], [2]])
    histories = Histories(
        plain.user_ids, plain.offsets, plain.item_rows, plain.ratings, plain.times, np.array([0, 1, 2])
    )
    lexicon = AspectLexicon({(word,): word for word in ("leather", "strap", "straps", "okapi")})
    named = item_aspects(histories.first(1), events, lexicon, catalog())
    assert named[0] == {"leather", "strap", "straps"}
    assert named[1] == {"okapi", "leather"}
    assert named[2] == {"strap", "straps"}
    assert reviews_of(histories.first(1), events).texts == ("A leather one", "the strap")
    assert item_aspects(histories, events, lexicon, catalog())[2] == {"okapi", "strap", "straps"}
