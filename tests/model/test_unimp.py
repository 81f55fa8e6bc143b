"""Pictures enter through gates: closed they change nothing, open they change their own sentence alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unimp.core.errors import ConfigError
from unimp.inference import forward
from unimp.inference.forward import as_inputs
from unimp.model.config import ModelConfig
from unimp.model.cross_attention import GatedCrossAttention
from unimp.model.inputs import ItemInputs
from unimp.model.unimp import UnimpModel
from unimp.model.vision import ConvEncoder
from unimp.sentence.batch import Batch, collate
from unimp.sentence.encoder import EncodedSentence, Kind
from unimp.sentence.parts import Role

NUM_ITEMS, VISUAL = 12, 6


def sentence(items: list[int], *, pictures: bool = True, answer: bool = False) -> EncodedSentence:
    """[CLS], then an item and one word for each, then perhaps an answer position."""
    kinds, rows, seen, sizes, sees = [Kind.FRAME], [-1], [-1], [1], [0]
    for item in items:
        kinds += [Kind.ITEM, Kind.ATTRIBUTE]
        rows += [item, -1]
        seen += [item if pictures else -1] * 2
        sizes += [0, 1]
        sees += [0, 0]
    if answer:
        kinds, rows, seen = [*kinds, Kind.FRAME], [*rows, -1], [*seen, -1]
        sizes, sees = [*sizes, 1], [*sees, 9]
    tokens = np.arange(sum(sizes)) % 5
    return EncodedSentence(
        np.array(kinds, dtype=np.int8),
        np.full(len(kinds), Role.CONTEXT, dtype=np.int8),
        np.array(rows),
        np.array(seen),
        np.array(sees),
        tokens,
        np.array(sizes),
        np.ones(len(tokens), dtype=np.bool_),
    )


def make_model(*, sees: bool = True, trains_vision: bool = False) -> UnimpModel:
    torch.manual_seed(0)
    config = ModelConfig(width=16, layers=2, heads=2, hidden=32, cross_attention=sees)
    return UnimpModel(
        config,
        NUM_ITEMS,
        9,
        {"text": 5},
        VISUAL if sees else None,
        pooled_pictures=False,
        vision=ConvEncoder(VISUAL) if trains_vision else None,
    ).eval()


def make_items(seed: int = 1) -> ItemInputs:
    generator = torch.Generator().manual_seed(seed)
    return ItemInputs(
        {"text": torch.randn(NUM_ITEMS, 5, generator=generator)},
        visual_IVE=torch.randn(NUM_ITEMS, 4, VISUAL, generator=generator),
        has_picture_I=torch.ones(NUM_ITEMS, dtype=torch.bool),
    )


def open_gates(model: UnimpModel) -> UnimpModel:
    for block in model.cross_attention:
        block.gate.data.fill_(0.7)
    return model


@torch.inference_mode()
def read(model: UnimpModel, batch: Batch, items: ItemInputs) -> torch.Tensor:
    return forward.read(model, model.item_state(items), batch)


def test_closed_gates_are_bit_equal_to_no_vision() -> None:
    items, batch = make_items(), collate([sentence([1, 2, 3]), sentence([4])])
    seeing, blind = make_model(), make_model(sees=False)
    missing, unexpected = seeing.load_state_dict(blind.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith("cross_attention") for name in missing)
    assert torch.equal(read(seeing, batch, items), read(blind, batch, items))
    assert not torch.equal(read(open_gates(seeing), batch, items), read(blind, batch, items))


def test_without_cross_attention_no_picture_moves_a_state() -> None:
    """The model that is blind to pictures: through the item table they enter only where it pools them."""
    blind, seeing = make_model(sees=False), open_gates(make_model())
    batch, items = collate([sentence([1, 2], answer=True)]), make_items()
    assert items.visual_IVE is not None
    other = ItemInputs(items.content, None, items.visual_IVE + 1.0, items.has_picture_I)
    assert torch.equal(read(blind, batch, items), read(blind, batch, other))
    for block in seeing.cross_attention:  # with the gates alone shut again, the same model is blind too
        block.gate.data.zero_()
    assert torch.equal(read(seeing, batch, items), read(seeing, batch, other))
    open_gates(seeing)
    assert not torch.equal(read(seeing, batch, items), read(seeing, batch, other))


def test_another_users_pictures_and_padding_move_nothing() -> None:
    model, items = open_gates(make_model()), make_items()
    mine = sentence([1, 2])
    alone = read(model, collate([mine]), items)
    beside = read(model, collate([mine, sentence([3, 4, 5, 6], answer=True)]), items)
    torch.testing.assert_close(beside[:1, : len(mine)], alone, rtol=1e-4, atol=1e-5)


def test_own_tokens_see_their_item_alone_and_answers_see_all() -> None:
    model, items = open_gates(make_model()), make_items()
    batch = collate([sentence([1, 2, 3], answer=True)])
    before = read(model, batch, items)
    assert items.visual_IVE is not None
    changed = items.visual_IVE.clone()
    changed[2] += 1.0
    after = read(model, batch, ItemInputs(items.content, None, changed, items.has_picture_I))
    moved = (before != after).any(dim=-1)[0].tolist()
    # [CLS] 1 w 2 w 3 w answer: item 2's picture enters at its own tokens; causality carries it rightwards.
    assert moved == [False, False, False, True, True, True, True, True]
    first_layer = UnseenBySelfAttention(model)
    moved = first_layer.moved(batch, items.visual_IVE, changed)
    assert moved == [False, False, False, True, True, False, False, True]


class UnseenBySelfAttention:
    """The first cross-attention block by itself: what the mask M lets through, nothing else."""

    def __init__(self, model: UnimpModel) -> None:
        self.model = model

    @torch.inference_mode()
    def moved(self, batch: Batch, before: torch.Tensor, after: torch.Tensor) -> list[bool]:
        block = self.model.cross_attention[0]
        x = torch.ones(1, batch.items.shape[1], 16)
        views = as_inputs(batch).views
        outs = [block(x, block.keys_values(v[batch.picture_rows]), views) for v in (before, after)]
        return [bool(entry) for entry in (outs[0] != outs[1]).any(dim=-1)[0]]


def test_a_missing_picture_is_seen_by_nobody() -> None:
    model, items = open_gates(make_model()), make_items()
    blind = collate([sentence([1, 2], pictures=False, answer=True)])
    assert blind.views == ()
    assert torch.equal(read(model, blind, items), read(make_model(), blind, items))


def test_view_equals_a_dense_masked_attention() -> None:
    """The grouped attention against the textbook form: every token over all pictures, with mask M."""
    model, items = open_gates(make_model()), make_items()
    # The answers see two pictures and one: a group that sees fewer must not read what fills its row.
    batch = collate([sentence([1, 2, 1], answer=True), sentence([5], answer=True)])
    block = model.cross_attention[0]
    assert items.visual_IVE is not None
    x = torch.randn(*batch.items.shape, 16)
    visual = items.visual_IVE[batch.picture_rows]
    got = block(x, block.keys_values(visual), as_inputs(batch).views)
    rows = batch.picture_rows.tolist()
    seen = {0: {1: [1], 2: [1], 3: [2], 4: [2], 5: [1], 6: [1], 7: [1, 2]}, 1: {1: [5], 2: [5], 3: [5]}}
    expected = x.clone()
    for user, positions in seen.items():
        for position, pictures in positions.items():
            tokens = torch.cat([visual[rows.index(picture)] for picture in pictures])
            keys, values = block.key_value(tokens).view(-1, 2, 2, 8).unbind(1)
            query = block.query(block.norm(x[user, position])).view(2, 8)
            weights = torch.softmax(torch.einsum("hk,shk->hs", query, keys) / 8**0.5, dim=-1)
            read_out = block.out(torch.einsum("hs,shk->hk", weights, values).reshape(16))
            expected[user, position] += torch.tanh(block.gate[0]) * read_out
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("answer", [False, True])
def test_gradients_reach_the_vision_encoder(answer: bool) -> None:
    model = open_gates(make_model(trains_vision=True)).train()
    pixels = torch.randint(0, 255, (NUM_ITEMS, 16, 16, 3), dtype=torch.uint8)
    items = ItemInputs(
        {"text": torch.randn(NUM_ITEMS, 5)}, pixels, None, torch.ones(NUM_ITEMS, dtype=torch.bool)
    )
    batch = collate([sentence([1, 2], answer=answer)])
    state = model.item_state(items)
    forward.read(model, state, batch).square().sum().backward()
    assert model.vision is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.vision.parameters())


def test_a_picture_of_zeros_adds_nothing_and_a_token_that_asks_nothing_reads_the_mean() -> None:
    """No projection has a bias; the gate is open."""
    block = open_gates(make_model()).cross_attention[0]
    views, x = as_inputs(collate([sentence([1])])).views, torch.randn(1, 3, 16)
    assert torch.equal(block(x, block.keys_values(torch.zeros(1, 4, VISUAL)), views), x)
    visual = torch.randn(1, 4, VISUAL)
    block.norm.weight.data.zero_()
    read_out = block.out(block.key_value(visual[0])[:, 16:].mean(dim=0))
    found = block(x, block.keys_values(visual), views) - x
    torch.testing.assert_close(found[0, 1], torch.tanh(block.gate[0]) * read_out, rtol=1e-4, atol=1e-5)


def test_inner_width_of_cross_attention_is_the_models_unless_given() -> None:
    assert GatedCrossAttention(16, VISUAL, 2, 0.0).query.out_features == 16
    assert GatedCrossAttention(16, VISUAL, 2, 0.0, inner=8).query.out_features == 8
    with pytest.raises(ConfigError, match=r"model\.heads is 3, which does not divide 16"):
        GatedCrossAttention(16, VISUAL, 3, 0.0)


def test_without_identities_items_of_equal_content_are_equal_and_training_leaves_them_so() -> None:
    config = ModelConfig(width=16, layers=1, heads=2, hidden=32, identity_dropout=1.0)
    model = UnimpModel(config, NUM_ITEMS, 9, {"text": 5}, None).train()
    text_IF = torch.randn(NUM_ITEMS, 5, generator=torch.Generator().manual_seed(1))
    text_IF[1] = text_IF[0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    before_ID = model.item_state(ItemInputs({"text": text_IF})).table_ID
    before_ID[0].sum().backward()
    optimizer.step()
    after_ID = model.eval().item_state(ItemInputs({"text": text_IF})).table_ID
    assert not torch.equal(after_ID[0], before_ID[0])
    assert torch.equal(after_ID[1], after_ID[0])
    assert not torch.equal(after_ID[2], after_ID[0])
