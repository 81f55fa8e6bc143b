"""Ratings, selection and text, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimp.core.errors import UnimpError
from unimp.metrics.ratings import rating_metrics
from unimp.metrics.selection import selection_metrics
from unimp.metrics.text import bleu, distinct, names, rouge, text_metrics

NUMBERS = st.lists(st.floats(0, 5), min_size=1, max_size=20)
PLACES = st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=8)


def rows(lists: list[list[int]]) -> list[np.ndarray]:
    return [np.array(part, dtype=np.int64) for part in lists]


def test_ratings_by_hand() -> None:
    assert rating_metrics([4.0, 3.0, 1.0], [5.0, 3.0, 3.0]) == {
        "RMSE": pytest.approx(math.sqrt(5 / 3)), "MAE": 1.0, "unscored": 0.0,
    }  # fmt: skip


def test_a_rating_that_cannot_be_told_is_unscored_not_zero() -> None:
    values = rating_metrics([math.nan, 3.0, 2.0, 5.0], [5.0, 3.0, 3.0, math.nan])
    assert values == {"RMSE": pytest.approx(math.sqrt(0.5)), "MAE": 0.5, "unscored": 0.5}


def test_no_rating_at_all_gives_nan() -> None:
    assert math.isnan(rating_metrics([math.nan], [1.0])["RMSE"])
    assert math.isnan(rating_metrics([], [])["MAE"])


def test_lengths_must_agree() -> None:
    with pytest.raises(UnimpError, match="ratings"):
        rating_metrics([1.0], [1.0, 2.0])
    with pytest.raises(UnimpError, match="selection"):
        selection_metrics(rows([[1]]), [])
    with pytest.raises(UnimpError, match="texts"):
        text_metrics(["a"], [])


@given(NUMBERS, st.floats(-2, 2))
def test_a_constant_error_is_both_rmse_and_mae(truth: list[float], error: float) -> None:
    values = rating_metrics(np.array(truth) + error, truth)
    assert values["RMSE"] == pytest.approx(abs(error), abs=1e-6)
    assert values["MAE"] == pytest.approx(abs(error), abs=1e-6)


def test_selection_by_hand() -> None:
    # exact; half right of two chosen; nothing chosen; one of two found
    values = selection_metrics(rows([[2, 0], [0, 1], [], [3]]), rows([[0, 2], [1], [4], [3, 1]]))
    assert values["accuracy"] == 0.25
    assert values["precision"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert values["recall"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert values["F1"] == pytest.approx((1 + 2 / 3 + 0 + 2 / 3) / 4)
    assert values["unscored"] == 0.0


def test_a_case_with_nothing_to_choose_is_unscored() -> None:
    values = selection_metrics(rows([[0], [1]]), rows([[], [1]]))
    assert (values["accuracy"], values["unscored"]) == (1.0, 0.5)
    assert math.isnan(selection_metrics([], [])["F1"])


@given(PLACES)
def test_choosing_the_truth_in_any_order_is_perfect(true: list[list[int]]) -> None:
    values = selection_metrics(rows([part[::-1] for part in true]), rows(true))
    if any(true):
        assert all(values[name] == 1.0 for name in ("accuracy", "precision", "recall", "F1"))


def test_bleu_by_hand() -> None:
    # 4 words for 5; unigrams 3 of 4, bigrams 2 of 3; brevity exp(1 - 5 / 4)
    values = bleu(["the cat sat down"], ["The cat sat on mats"])
    assert values["BLEU-1"] == pytest.approx(math.exp(-0.25) * 3 / 4)
    assert values["BLEU-2"] == pytest.approx(math.exp(-0.25) * math.sqrt(3 / 4 * 2 / 3))
    assert bleu(["a b c d"], ["a b c d"])["BLEU-4"] == pytest.approx(1.0)


def test_rouge_by_hand() -> None:
    values = rouge(["the cat sat down"], ["The cat sat on mats"])
    assert values["ROUGE-1"] == pytest.approx(2 * 3 / 9)
    assert values["ROUGE-2"] == pytest.approx(2 * 2 / 7)
    assert values["ROUGE-L"] == pytest.approx(2 * 3 / 9)


def test_distinct_by_hand() -> None:
    assert distinct(["a b a", "A c"], 1) == pytest.approx(3 / 5)
    assert distinct(["a b a", "A c"], 2) == pytest.approx(1.0)
    assert distinct(["a b", "a b"], 2) == 0.5
    assert math.isnan(distinct(["a"], 2))


@pytest.mark.parametrize(
    ("text", "phrases", "expected"),
    [
        ("A RED t-shirt.", ("red",), True),
        ("A T-Shirt.", ("t-shirt",), True),
        ("By Castor & Lund", ("castor lund",), True),
        ("Bored of it", ("red",), False),
        ("A dress", ("dresses", ""), False),
        ("", ("red",), False),
    ],
)
def test_a_phrase_is_named_as_whole_words(text: str, phrases: tuple[str, ...], expected: bool) -> None:
    assert names(text, phrases) is expected


def test_empty_texts_are_unscored() -> None:
    values = text_metrics(
        ["a red mug", "", "a lamp"],
        ["a red mug", "x", "a lamp"],
        [("red",), ("x",), ("blue",)],
        [(), (), ("lamp",)],
    )
    assert values["BLEU-1"] == pytest.approx(1.0)
    assert values["ROUGE-L"] == 1.0
    assert values["distinct-1"] == pytest.approx(4 / 5)
    assert values["names-attribute"] == 0.5
    assert values["names-foreign"] == 0.5
    assert values["unscored"] == pytest.approx(1 / 3)


def test_texts_that_are_all_empty_score_nothing() -> None:
    values = text_metrics(["", " "], ["a", "b"])
    assert values.pop("unscored") == 1.0
    assert all(math.isnan(value) for value in values.values())
    assert "names-attribute" not in values


@given(st.lists(st.text(alphabet="ab c", min_size=1, max_size=12), min_size=1, max_size=4))
def test_text_metrics_are_fractions(texts: list[str]) -> None:
    for value in text_metrics(texts, texts[::-1]).values():
        assert math.isnan(value) or 0.0 <= value <= 1.0 + 1e-9
