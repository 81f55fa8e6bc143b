"""Every family behind the decoder's interface: the plain language model, until pictures are let in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.backbones.families import (
    FAMILIES,
    NUM_WORDS,
    config_of,
    language_model,
    source_of,
)
from tests.model.test_unimp import NUM_ITEMS, VISUAL, make_items, open_gates, sentence
from unimp.core.errors import ConfigError
from unimp.inference import forward
from unimp.inference.continuation import Continuation
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.reading import hidden_at_end
from unimp.model.backbones.lora import merge_adapters
from unimp.model.backbones.opening import open_backbone, taken_apart
from unimp.model.backbones.source import BackboneSource
from unimp.model.backbones.tokens import BackboneTokens
from unimp.model.config import ModelConfig
from unimp.model.token_table import LanguageSide
from unimp.model.unimp import UnimpModel
from unimp.sentence.batch import collate
from unimp.sentence.encoder import EncodedSentence, Kind

FRAME, CODES = 7, 5
"""Added rows before and after the words."""
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def make_model(
    source: BackboneSource, train: str = "frozen", *, every: int = 1, **changes: Any
) -> UnimpModel:
    config, lora = config_of(train, **changes)
    torch.manual_seed(0)
    language = open_backbone(source, config, lora)
    tokens = BackboneTokens(
        language.words, language.head, language.decoder.probe, FRAME, NUM_WORDS, FRAME + NUM_WORDS + CODES
    )
    return UnimpModel(
        ModelConfig(heads=4, cross_attention_every=every, cross_attention_width=16, dropout=0.0),
        NUM_ITEMS,
        FRAME + NUM_WORDS + CODES,
        {"text": 5},
        VISUAL,
        pooled_pictures=False,
        language=LanguageSide(language.decoder, tokens),
    ).eval()


def spoken(words: list[int]) -> EncodedSentence:
    """A sentence of the language model's words alone, each of which sees a picture."""
    shown = sentence([], answer=True)
    count = len(words)

    def longer(values: np.ndarray) -> np.ndarray:
        return np.repeat(values[-1:], count)

    return replace(
        shown,
        kinds=longer(shown.kinds),
        roles=longer(shown.roles),
        items=longer(shown.items),
        pictures=np.full(count, 3),
        sees=np.zeros(count, dtype=np.int64),
        tokens=np.array(words) + FRAME,
        bag_sizes=np.ones(count, dtype=np.int64),
        predicted=np.ones(count, dtype=np.bool_),
    )


WORDS = [5, 17, 250, 99, 4, 31, 8, 222, 17, 60]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@torch.inference_mode()
def test_closed_gates_are_bit_equal_to_the_plain_language_model(family: str, tmp_path: Path) -> None:
    model = make_model(source_of(tmp_path, family))
    batch = collate([spoken(WORDS)])
    state = model.item_state(make_items())
    hidden = forward.read(model, state, batch)
    logits = model.token_logits(hidden, FRAME, FRAME + NUM_WORDS)
    lm = language_model(family)
    plain = lm(input_ids=torch.tensor([WORDS])).logits[..., :NUM_WORDS]
    if family != "granite":  # which multiplies its logits: hidden states come multiplied
        assert torch.equal(hidden, lm.base_model(input_ids=torch.tensor([WORDS])).last_hidden_state)
    torch.testing.assert_close(logits, plain, rtol=1e-5, atol=1e-5)  # a product over fewer rows
    opened = forward.read(open_gates(model), state, batch)
    assert not torch.allclose(opened, hidden, atol=1e-2)


@torch.inference_mode()
def test_no_added_token_is_certain_before_it_learned_anything(family: str, tmp_path: Path) -> None:
    tokens = make_model(source_of(tmp_path, family)).tokens
    assert isinstance(tokens, BackboneTokens)
    for own, theirs in tokens.pairs():
        mean, spread = theirs.float().mean(dim=0), theirs.float().std(dim=0).mean()
        assert 0.0 < float((own - mean).std()) < 0.2 * float(spread)
    rows = tokens.rows(FRAME + NUM_WORDS, FRAME + NUM_WORDS + CODES)
    assert len(torch.unique(rows, dim=0)) == CODES


@torch.inference_mode()
def test_what_is_cached_equals_what_is_read_at_once(family: str, tmp_path: Path) -> None:
    """Sentences of different lengths, aligned at their ends; steps; rows dropped, doubled and moved."""
    model = open_gates(make_model(source_of(tmp_path, family), every=2))
    state = model.item_state(make_items())
    begun = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7], [1, 8, 2, 8, 1]]

    def full(sentences: list[list[int]]) -> torch.Tensor:
        return torch.stack([forward.read(model, state, collate([spoken(one)]))[0, -1] for one in sentences])

    going = Continuation(model, state, [spoken(one) for one in begun], 4)
    torch.testing.assert_close(going.hidden_BD, full(begun), **CLOSE)
    for turn, rows in enumerate([[2, 0, 0, 1], [3, 1, 1], [1, 0]]):
        going.keep(torch.tensor(rows))
        begun = [[*begun[row], 40 + turn + place] for place, row in enumerate(rows)]
        going.seen_BM = torch.zeros(len(rows), 1, dtype=torch.long)  # the one picture of the batch
        hidden = going.step(torch.tensor([[FRAME + words[-1]] for words in begun]))
        torch.testing.assert_close(hidden, full(begun), **CLOSE)


@torch.inference_mode()
def test_what_is_kept_of_a_history_equals_what_is_read_anew(family: str, tmp_path: Path) -> None:
    """The same history once more, a longer one, and another: with different words behind it."""
    model = open_gates(make_model(source_of(tmp_path, family), every=2))
    state, cache = model.item_state(make_items()), PrefixCache(2**20)
    for history, asked in (([3, 1, 4], [2, 7]), ([3, 1, 4], [5]), ([3, 1, 4, 1, 5], [8, 2]), ([3, 2], [7])):
        sentence = replace(spoken([*history, *asked]), history=len(history))
        sentence.kinds[:] = Kind.WORD  # no opening: all of it is history
        found = hidden_at_end(model, state, [sentence], cache, ["ann"])
        torch.testing.assert_close(found, forward.last_hidden(model, state, [sentence]), **CLOSE)
    assert cache.outcomes == {"hit": 1, "extended": 2, "miss": 1}


@pytest.mark.parametrize("train", ["frozen", "lora", "full"])
def test_only_what_learned_is_saved_and_comes_back(family: str, train: str, tmp_path: Path) -> None:
    source = source_of(tmp_path, family)
    model = make_model(source, train)
    open_gates(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.01 * torch.randn_like(parameter)
    saved = {name: tensor.clone() for name, tensor in model.learned_state().items()}
    given = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert set(saved) == set(model.state_dict()) - given
    assert bool(given) == (train != "full")
    again = make_model(source, train)
    again.load_learned(saved)
    batch = collate([sentence([1, 2, 3], answer=True), spoken(WORDS)])
    items = make_items()
    with torch.inference_mode():
        hidden = [forward.read(one, one.item_state(items), batch) for one in (model.eval(), again.eval())]
    assert torch.equal(*hidden)
    with pytest.raises(RuntimeError, match="parts differ"):
        again.load_learned({name: saved[name] for name in sorted(saved)[1:]})


@torch.inference_mode()
def test_merged_adapters_answer_as_adapters_beside(family: str, tmp_path: Path) -> None:
    model = make_model(source_of(tmp_path, family), "lora")
    adapters = [p for name, p in model.named_parameters() if ".lora_" in name]
    assert all(parameter.requires_grad for parameter in adapters)
    batch, state = collate([spoken(WORDS)]), model.item_state(make_items())
    before = forward.read(model, state, batch)
    for parameter in adapters:
        parameter.normal_(std=0.1)
    beside = forward.read(model, state, batch)
    assert not torch.allclose(beside, before, atol=1e-2)
    merge_adapters(model.decoder)
    torch.testing.assert_close(forward.read(model, state, batch), beside, **CLOSE)


def test_gradients_reach_what_learns_and_nothing_else(family: str, tmp_path: Path) -> None:
    """Also under gradient checkpointing, and then they are the same."""
    source = source_of(tmp_path, family)
    found: list[dict[str, torch.Tensor]] = []
    for checkpointing in (False, True):
        model = open_gates(make_model(source, "lora", gradient_checkpointing=checkpointing)).train()
        state = model.item_state(make_items())
        hidden = forward.read(model, state, collate([sentence([1, 2], answer=True), spoken(WORDS)]))
        scores = hidden.reshape(-1, hidden.shape[-1])
        (model.item_logits(scores, state.table_ID).square().sum() + hidden.square().sum()).backward()
        found.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    plain, checkpointed = found
    assert set(plain) == {n for n, p in model.named_parameters() if p.requires_grad} - {"tokens.added_out"}
    assert set(checkpointed) == set(plain)
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=1e-4, atol=1e-4)
    for part in ("items.identity", "tokens.added", "cross_attention.0.gate", "lora_B"):
        assert any(part in name and gradient.abs().sum() > 0 for name, gradient in plain.items()), part


@torch.inference_mode()
@pytest.mark.parametrize("train", ["frozen", "lora", "full"])
def test_layers_in_bfloat16_come_close_and_what_learns_stays_float32(train: str, tmp_path: Path) -> None:
    source, batch, items = source_of(tmp_path), collate([spoken(WORDS)]), make_items()
    models = [make_model(source, train, precision=name) for name in ("float32", "bfloat16")]
    exact, shorter = (forward.read(one, one.item_state(items), batch) for one in models)
    assert shorter.dtype is torch.float32
    assert not torch.equal(exact, shorter)
    torch.testing.assert_close(shorter, exact, rtol=0.05, atol=0.1)
    for name, parameter in models[1].named_parameters():
        assert parameter.dtype is torch.float32 or not parameter.requires_grad, name


@pytest.mark.parametrize(
    ("family", "reason"),
    [("bloom", "no picture can reach"), ("gemma2", "soft-capping"), ("lfm2", "plain attention")],
)
def test_a_family_that_cannot_be_used_says_why(family: str, reason: str) -> None:
    changes = {"gemma2": {"head_dim": 8}, "lfm2": {"num_key_value_heads": 2, "full_attn_idxs": [1]}}.get(
        family, {}
    )
    with pytest.raises(ConfigError, match=reason) as failure:
        taken_apart(language_model(family, **changes), 'backbone.name "tiny"')
    assert "\n" not in str(failure.value)


def test_a_sentence_longer_than_the_model_reads_is_refused(tmp_path: Path) -> None:
    model = make_model(source_of(tmp_path, "opt"))
    state = model.item_state(make_items())
    with pytest.raises(ConfigError, match=r"97 positions, it reads 96 at most; lower sentence.max_items"):
        forward.read(model, state, collate([spoken([1] * 97)]))
