"""Words and pictures in one space: the closed form, its contrastive training, what the cache keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import FloatArray
from unimp.features.cache import FeatureCache
from unimp.features.joint_space import (
    ItemWords,
    JointSpace,
    attribute_words,
    fit_ridge,
    fitted_once,
    joined_terms,
    partly_whitened,
)
from unimp.features.joint_training import (
    JointTrainingConfig,
    TextViews,
    catalogue_space,
    co_bought_loss,
    contrast,
    paired_loss,
)

COLOURS, KINDS = ("red", "blue", "green"), ("mug", "shirt", "lamp", "bag")
BRIEF = JointTrainingConfig(steps=40, batch=24, lr=1e-2)


def shop(count: int = 60) -> tuple[ItemWords, FloatArray, np.ndarray, np.ndarray]:
    """Words, descriptors that show colour and kind beside noise, colours, kinds."""
    random = np.random.default_rng(5)
    colours, kinds = random.integers(0, 3, count), random.integers(0, 4, count)
    words = [[[COLOURS[c]], ["a", KINDS[k]]] for c, k in zip(colours, kinds, strict=True)]
    shown = np.concatenate(
        [np.eye(3)[colours], np.eye(4)[kinds], 0.05 * random.normal(size=(count, 5))], axis=1
    )
    return words, shown.astype(np.float32), colours, kinds


@pytest.fixture(scope="module")
def spaces() -> dict[str, JointSpace]:
    """Of the first forty items."""
    words, shown, _, _ = shop()
    closed = fit_ridge(words[:40], shown[:40], l2=1.0)
    return {"closed": closed, "trained": contrast(closed, words[:40], shown[:40], BRIEF, seed=0)}


@pytest.mark.parametrize("name", ["closed", "trained"])
def test_words_find_pictures_of_items_that_were_not_learned(spaces: dict[str, JointSpace], name: str) -> None:
    _, shown, colours, kinds = shop()
    pictures = spaces[name].place_pictures(shown[40:])
    for text, right in (("Red", colours[40:] == 0), ("lamp", kinds[40:] == 2)):
        scores = pictures @ spaces[name].place_texts([text])[0]
        assert scores[right].min() > scores[~right].max()


@pytest.mark.parametrize("name", ["closed", "trained"])
def test_a_picture_finds_the_text_of_its_kind(spaces: dict[str, JointSpace], name: str) -> None:
    words, shown, colours, kinds = shop()
    scores = spaces[name].place_pictures(shown[40:]) @ spaces[name].place_items(words[40:]).T
    best = scores.argmax(axis=1)
    assert (colours[40:][best] == colours[40:]).all()
    assert (kinds[40:][best] == kinds[40:]).all()


def test_rows_have_unit_length_and_unknown_words_none(spaces: dict[str, JointSpace]) -> None:
    rows = spaces["trained"].place_texts(["a red bag", "zeppelin", ""])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1.0, 0.0, 0.0], atol=1e-5)


def test_training_is_the_same_for_the_same_seed_and_leaves_the_closed_form(
    spaces: dict[str, JointSpace],
) -> None:
    words, shown, _, _ = shop()
    before = spaces["closed"].words_WK.copy()
    state = torch.get_rng_state()
    again = contrast(spaces["closed"], words[:40], shown[:40], BRIEF, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(spaces["closed"].words_WK, before)
    np.testing.assert_allclose(again.words_WK, spaces["trained"].words_WK, atol=1e-6)
    other = contrast(spaces["closed"], words[:40], shown[:40], BRIEF, seed=1)
    assert np.abs(other.words_WK - again.words_WK).max() > 1e-4


def test_pairs_of_words_stay_within_one_value() -> None:
    assert joined_terms([["dark", "red"], ["mug"]]) == ["dark", "red", "dark red", "mug"]


def test_no_shared_word_is_an_error() -> None:
    with pytest.raises(DataError, match="no word is in 3 of the items"):
        fit_ridge([[["red"]], [["blue"]]], np.eye(2, dtype=np.float32))


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_directions_are_those_of_the_singular_values(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    mean, directions = partly_whitened(x, 4)
    _, scales, right = np.linalg.svd(x - mean, full_matrices=False)
    expected = right[:4] / np.sqrt(scales[:4] / np.sqrt(len(x)))[:, None]
    np.testing.assert_allclose(np.abs(directions.T), np.abs(expected), atol=1e-3)


def test_pairs_that_are_alike_are_no_negatives() -> None:
    logits = torch.tensor([[1.0, 5.0], [5.0, 1.0]])
    nothing = torch.zeros(2, 2, dtype=torch.bool)
    expected = 2 * float(torch.log1p(torch.exp(torch.tensor(4.0))))
    assert float(paired_loss(logits, nothing)) == pytest.approx(expected, abs=1e-5)
    assert float(paired_loss(logits, ~nothing)) == pytest.approx(0.0, abs=1e-6)


def test_an_item_bought_twice_is_no_negative_of_itself() -> None:
    shown, identity = torch.eye(3), torch.eye(3)
    once = co_bought_loss(shown, identity, np.array([[0, 1], [0, 2]]), torch.tensor(1.0))
    assert float(once) == pytest.approx(0.0, abs=1e-6)
    apart = co_bought_loss(shown, identity, np.array([[0, 1], [1, 2]]), torch.tensor(1.0))
    assert float(apart) > 0.1


def test_a_short_text_is_also_true_of_other_items_that_have_its_words(spaces: dict[str, JointSpace]) -> None:
    words, _, colours, _ = shop()
    views = TextViews(spaces["closed"], words[:40], short=1.0)
    red = torch.tensor([spaces["closed"].terms.vocabulary["red"]])
    rows = np.flatnonzero(colours[:40] < 2)[:6]
    true = views.also_true(rows, red.repeat(6), torch.ones(6, dtype=torch.int64))
    assert true.tolist() == [(colours[rows] == 0).tolist()] * 6


def test_the_cache_keeps_the_space_of_the_same_words_and_pictures(
    spaces: dict[str, JointSpace], tmp_path: Path
) -> None:
    words, shown, _, _ = shop()
    cache, calls = FeatureCache(tmp_path), []

    def fit() -> JointSpace:
        calls.append(1)
        return spaces["closed"]

    fitted_once(cache, "a", words, shown, fit)
    found = fitted_once(cache, "a", words, shown, fit)
    assert len(calls) == 1
    np.testing.assert_array_equal(found.place_texts(["red bag"]), spaces["closed"].place_texts(["red bag"]))
    fitted_once(cache, "a", words, shown + 1, fit)
    fitted_once(cache, "b", words, shown, fit)
    assert len(calls) == 3


def test_a_catalogue_is_learned_from_items_with_picture_and_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path))
    _, shown, colours, kinds = shop()
    table = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(60)],
            "picture": [None] * 60,
            "colour": [COLOURS[colour] if row < 50 else None for row, colour in enumerate(colours)],
            "kind": [f"a {KINDS[kind]}" if row < 50 else None for row, kind in enumerate(kinds)],
            "price": [1.0] * 60,
        },
        schema_overrides={"picture": pl.String},
    )
    attributes = (Attribute("colour", "category"), Attribute("kind", "text"), Attribute("price", "number"))
    catalog = Catalog(table, attributes)
    assert attribute_words(catalog)[0] == [[COLOURS[colours[0]]], ["a", KINDS[kinds[0]]]]
    assert attribute_words(catalog)[55] == []
    shown[:5] = 0.0
    space = catalogue_space(catalog, shown, BRIEF, seed=0)
    scores = space.place_pictures(shown[50:]) @ space.place_texts(["green"])[0]
    assert scores[colours[50:] == 2].min() > scores[colours[50:] != 2].max()
