"""Queries as items without identity; scores of candidates in any order."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unimp.model.config import ModelConfig
from unimp.model.inputs import Inputs, ItemInputs, ItemState
from unimp.model.unimp import UnimpModel

NUM_ITEMS, NUM_TOKENS, VISUAL = 6, 9, 4
END = 3


@pytest.fixture
def model() -> UnimpModel:
    torch.manual_seed(0)
    config = ModelConfig(width=16, layers=1, heads=2, hidden=32)
    return UnimpModel(config, NUM_ITEMS, NUM_TOKENS, {"text": 5}, VISUAL).eval()


@pytest.fixture
def items() -> ItemInputs:
    """Item 2 has no picture."""
    generator = torch.Generator().manual_seed(1)
    return ItemInputs(
        {"text": torch.randn(NUM_ITEMS, 5, generator=generator)},
        visual_IVE=torch.randn(NUM_ITEMS, 3, VISUAL, generator=generator),
        has_picture_I=torch.arange(NUM_ITEMS) != 2,
    )


def query_items(texts: torch.Tensor | None, pictures: list[int]) -> Inputs:
    """One sentence of query items alone."""
    none = torch.empty(0, dtype=torch.int64)
    places = -2 - torch.arange(len(pictures))[None]
    return Inputs(places, none, none, torch.empty(0), (), texts, torch.tensor(pictures))


@torch.inference_mode()
def test_a_query_item_of_an_items_content_is_the_item_without_identity(
    model: UnimpModel, items: ItemInputs
) -> None:
    state = model.item_state(items)
    model.items.forget_identities(torch.tensor([], dtype=torch.int64))
    content_ID = model.item_state(items).table_ID
    inputs = query_items(items.content["text"], [0, 1, -1, 3, 4, 5])
    torch.testing.assert_close(model.query_vectors(inputs, state), content_ID)
    torch.testing.assert_close(model.embed(inputs, state)[0], content_ID * 16**0.5)


@torch.inference_mode()
def test_what_a_query_item_lacks_adds_nothing(model: UnimpModel, items: ItemInputs) -> None:
    state = model.item_state(items)
    assert not model.query_vectors(query_items(torch.zeros(1, 5), [-1]), state).any()
    assert not model.query_vectors(query_items(None, [-1]), state).any()
    assert state.pictures_ID is not None
    picture = model.query_vectors(query_items(None, [4]), state)
    torch.testing.assert_close(picture, state.pictures_ID[4:5])
    assert not state.pictures_ID[2].any()


@torch.inference_mode()
def test_a_query_item_stands_beside_its_words_and_moves_only_its_place(
    model: UnimpModel, items: ItemInputs
) -> None:
    state = model.item_state(items)
    words = Inputs(
        torch.tensor([[1, -1, 4]]),
        torch.tensor([2, 5]),
        torch.tensor([1, 1]),
        torch.tensor([0.5, 0.5]),
        (),
        items.content["text"][:1],
        torch.tensor([3]),
    )
    without = model.embed(words, state)
    asked = replace(words, items_BT=torch.tensor([[1, -2, 4]]))
    with_query = model.embed(asked, state)
    assert torch.equal(with_query[0, [0, 2]], without[0, [0, 2]])
    query_item = model.query_vectors(asked, state)[0] * 16**0.5
    torch.testing.assert_close(with_query[0, 1] - without[0, 1], query_item)


@torch.inference_mode()
def test_a_picture_from_outside_counts_as_the_same_picture_of_the_catalogue(
    model: UnimpModel, items: ItemInputs
) -> None:
    state = model.item_state(items)
    assert items.visual_IVE is not None
    wider = model.with_outside(state, items.visual_IVE[[4, 1]])
    inside = model.query_vectors(query_items(None, [4, 1]), wider)
    outside = model.query_vectors(query_items(None, [NUM_ITEMS, NUM_ITEMS + 1]), wider)
    torch.testing.assert_close(outside, inside)
    assert torch.equal(wider.table_ID, state.table_ID)


def choose(model: UnimpModel, state: ItemState, hidden: torch.Tensor, rows: list[list[int]]) -> torch.Tensor:
    return model.choice_logits(hidden, torch.tensor(rows), state.table_ID, END)


@torch.inference_mode()
def test_scores_follow_the_candidates_whatever_their_order(model: UnimpModel, items: ItemInputs) -> None:
    state, hidden = model.item_state(items), torch.randn(2, 16)
    rows = [[-2, 4, 0, 2], [-2, 1, 5, -1]]
    scores = choose(model, state, hidden, rows)
    order = [2, 0, 3, 1]
    moved = choose(model, state, hidden, [[row[place] for place in order] for row in rows])
    torch.testing.assert_close(moved, scores[:, order])


@torch.inference_mode()
def test_scores_are_those_of_the_catalogue_and_of_the_end(model: UnimpModel, items: ItemInputs) -> None:
    model.scale.fill_(1.7)
    state, hidden = model.item_state(items), torch.randn(1, 16)
    found = choose(model, state, hidden, [[-2, 4, 0, -1]])[0]
    catalogue = model.item_logits(hidden, state.table_ID)[0]
    torch.testing.assert_close(found[1:3], catalogue[[4, 0]])
    torch.testing.assert_close(found[0], 1.7 * hidden[0] @ model.tokens.weight[END])
    assert found[3] == -torch.inf
