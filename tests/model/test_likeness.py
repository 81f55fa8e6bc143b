"""The likeness head: a sum written out by hand, a nearest-neighbour rule at first, blind where it must be."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from unimp.model.config import ModelConfig
from unimp.model.inputs import Inputs, ItemInputs
from unimp.model.likeness import FACT_SCALE, FACTOR, KEY_WIDTH, HistoryItems, LikenessHead
from unimp.model.unimp import UnimpModel

WIDTH, WIDE, TEXT, ITEMS = 12, 5, 7, 9
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def head_of(seed: int) -> LikenessHead:
    torch.manual_seed(seed)
    head = LikenessHead(WIDTH, {"picture": WIDE, "text": TEXT}, 4)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def model_of(*, visual: int | None = WIDE, likeness: int = 4) -> UnimpModel:
    torch.manual_seed(0)
    config = ModelConfig(width=WIDTH, layers=1, heads=2, hidden=16, likeness=likeness)
    return UnimpModel(config, ITEMS, 6, {"text": TEXT}, visual, described_pictures=True).eval()


def items_of(seed: int) -> ItemInputs:
    """Item 2 has no picture."""
    generator = torch.Generator().manual_seed(seed)
    visual = F.normalize(torch.randn(ITEMS, 3, WIDE, generator=generator), dim=-1)
    text = torch.randn(ITEMS, TEXT, generator=torch.Generator().manual_seed(1))
    return ItemInputs({"text": text}, visual_IVE=visual, has_picture_I=torch.arange(ITEMS) != 2)


def history(rows: list[int]) -> Inputs:
    none = torch.empty(0, dtype=torch.int64)
    places = torch.tensor([rows])
    return Inputs(places, none, none, torch.empty(0), (), None, none, places >= 0)


@torch.inference_mode()
def test_it_is_the_sum_written_out() -> None:
    head, length = head_of(3), 4
    hidden, vectors = torch.randn(1, length, WIDTH), torch.randn(1, length, WIDTH)
    alike = torch.cat([F.normalize(torch.randn(1, length, 4), dim=-1) for _ in range(2)], dim=-1)
    alike[0, 1, :4] = 0.0  # the second event has no picture
    queries = torch.tensor([[False, False, False, True]])
    shown = torch.ones(1, length, length, dtype=torch.bool).tril()
    found = head(hidden, HistoryItems(vectors, alike, queries, shown))[0, -1]
    facts, sums = [], []
    for block in range(2):
        places = slice(4 * block, 4 * block + 4)
        rows = slice(block * KEY_WIDTH, (block + 1) * KEY_WIDTH)
        logits = [
            float(head.query.weight[rows] @ hidden[0, -1] @ (head.key.weight[rows] @ vectors[0, i])) / 4.0
            - float(F.softplus(head.recency[block] - 4.0)) * (length - 1 - i)
            + float(head.query_bonus[block]) * (i == 3)
            for i in range(length)
        ]
        known = [i for i in range(length) if alike[0, i, places].any()]
        weights = torch.softmax(torch.tensor([logits[i] for i in known]), dim=0)
        sums.append(sum(a * alike[0, i, places] for a, i in zip(weights, known, strict=True)))
        pairs = 1.0 - weights.square().sum()
        agree = sum(
            a * b * (alike[0, i, places] @ alike[0, j, places])
            for a, i in zip(weights, known, strict=True)
            for b, j in zip(weights, known, strict=True)
            if i != j
        )
        facts += [agree / pairs, pairs]
    inputs = torch.cat((hidden[0, -1], FACT_SCALE * torch.stack(facts)))
    factors = head.log_factor(inputs).exp()
    torch.testing.assert_close(found, torch.cat([f * s for f, s in zip(factors, sums, strict=True)]), **CLOSE)


@torch.inference_mode()
def test_at_the_beginning_it_scores_by_the_mean_likeness() -> None:
    """Of pictures and texts as they are, whatever the hidden state is."""
    torch.manual_seed(0)
    head = LikenessHead(WIDTH, {"picture": WIDE, "text": TEXT}, 16)
    torch.nn.init.constant_(head.recency, -1e9)
    content = {"picture": torch.randn(ITEMS, WIDE), "text": torch.randn(ITEMS, TEXT)}
    alike = head.vectors(content, content["text"])
    rows = [3, 0, 7]
    none = torch.zeros(1, 3, dtype=torch.bool)
    vectors, shown = torch.randn(1, 3, WIDTH), torch.ones(1, 3, 3, dtype=torch.bool).tril()
    sought = head(torch.randn(1, 3, WIDTH), HistoryItems(vectors, alike[rows][None], none, shown))
    unit = [F.normalize(block, dim=-1) for block in content.values()]
    expected = FACTOR * sum((block @ block[rows].T).mean(dim=1) for block in unit)
    torch.testing.assert_close(alike @ sought[0, -1], expected, **CLOSE)


@torch.inference_mode()
def test_an_event_changes_nothing_before_it() -> None:
    model, items = model_of(), items_of(0)
    state = model.item_state(items)
    inputs = history([4, 1, 6])
    short = model.answers(model(inputs, state), inputs, state)
    longer = history([4, 1, 6, 8])
    torch.testing.assert_close(model.answers(model(longer, state), longer, state)[:, :3], short, **CLOSE)


@torch.inference_mode()
def test_the_likest_picture_leads_where_identities_say_nothing() -> None:
    model, items = model_of(), items_of(0)
    assert items.visual_IVE is not None
    items.visual_IVE[5] = items.visual_IVE[4]
    items.content["text"].zero_()
    model.items.forget_identities(torch.tensor([], dtype=torch.int64))
    model.scale.zero_()
    state, inputs = model.item_state(items), history([4])
    scores = model.item_logits(model.answers(model(inputs, state), inputs, state)[0], state.table_ID)[0]
    scores[4] = -torch.inf
    assert int(scores.argmax()) == 5
    assert float(scores[2]) == 0.0  # no picture, no words: nothing speaks for it or against it


@torch.inference_mode()
def test_the_blind_twin_does_not_change_with_the_pictures() -> None:
    def scores(model: UnimpModel, seed: int) -> torch.Tensor:
        state, inputs = model.item_state(items_of(seed)), history([4, 1, 6])
        return model.item_logits(model.answers(model(inputs, state), inputs, state)[0], state.table_ID)

    blind, seeing = model_of(visual=None), model_of()
    assert blind.likeness is not None
    assert list(blind.likeness.widths) == ["text"]
    assert torch.equal(scores(blind, 0), scores(blind, 7))
    assert not torch.allclose(scores(seeing, 0), scores(seeing, 7), atol=1e-2)
