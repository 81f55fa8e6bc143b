"""P5: recommendation as language; a prompt with the history's item ids is answered with an item's id."""

# B users, T tokens, E events, D width, I items, L tokens of an id, K beams, P tokens

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import Arrays, TrainingData
from unimp.baselines.shared.beam import beam_search
from unimp.baselines.shared.neural import NeuralBaseline, NeuralConfig, torch_threads
from unimp.baselines.shared.prompts import (
    FIRST_CODE,
    START,
    TEMPLATES,
    Prompts,
    random_codes,
    training_targets,
    write_prompts,
)
from unimp.baselines.shared.semantic_ids import QuantiserConfig, code_trie, learn_codes
from unimp.baselines.shared.sequences import Windows, batches_by_length, whole_windows
from unimp.baselines.shared.t5 import T5
from unimp.baselines.shared.transformer import check_heads
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.data.histories import Histories

WHOLE_WORDS = 128
"""Whole words of a prompt that are told apart; T5 prompts of this size have fewer."""


class P5Config(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of token vectors and hidden states; the paper's P5-small has 512."""
    layers: int = Field(default=2, ge=1)
    """Of the encoder, and of the decoder; the paper's small one has six."""
    heads: int = Field(default=4, ge=1)
    """Attention heads; must divide the width."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """On the input and behind every sub-layer; the paper's is .1."""
    ids: Literal["content", "random"] = "content"
    """How items are named: by codes learnt from their text, or by two pieces of a random number. The latter
    needs no text and is slow to learn."""
    quantiser: QuantiserConfig = QuantiserConfig(levels=2, codes=128)
    """How `content` ids are learnt."""
    max_events: int = Field(default=10, ge=1, le=100)
    """Latest events that a prompt holds."""
    beam: int = Field(default=20, ge=1)
    """Beginnings of ids that constrained decoding keeps; items it never reaches are ranked by their first."""
    targets: int = Field(default=65_536, ge=1)
    """Events that a pass is trained to predict, drawn anew each time; a smaller log is gone through whole."""
    lr: float = Field(default=2e-3, gt=0)
    """Learning rate of AdamW, constant; the paper's, for what was pre-trained, is 1e-3."""
    epochs: int = Field(default=30, ge=1)
    """At most this many passes."""
    validate_every: int = Field(default=3, ge=1)
    """Passes from one validation to the next: decoding costs more than training."""
    patience: int = Field(default=4, ge=1)
    """Stop after so many validations without a better NDCG@5."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.0, 0.5),
        "ids": Choice(("content", "random")),
        "weight_decay": Choice((0.0, 1e-3, 1e-2, 0.1)),
        "width": Choice((64, 128)),
    }


class P5Network(nn.Module):
    """T5 with one vector per whole word upon the tokens (sec. 3.3)."""

    codes: Tensor
    """[I, L]."""

    def __init__(self, config: P5Config, codes_IL: Tensor, adapter: int = 0) -> None:
        super().__init__()
        self.sizes = [int(size) for size in codes_IL.amax(dim=0) + 1]
        self.firsts = [FIRST_CODE + sum(self.sizes[:level]) for level in range(len(self.sizes))]
        vocabulary = FIRST_CODE + sum(self.sizes)
        self.t5 = T5(vocabulary, config.width, config.layers, config.heads, config.dropout, adapter)
        self.whole_words = nn.Embedding(WHOLE_WORDS, config.width)
        nn.init.normal_(self.whole_words.weight, std=0.02)
        self.register_buffer("codes", codes_IL)

    @property
    def ids(self) -> Tensor:
        """[I, L] the items' codes as tokens of the one vocabulary."""
        return self.codes + torch.tensor(self.firsts, device=self.codes.device)

    def embed(self, prompts: Prompts) -> Tensor:
        """[B, T, D]."""
        embedded: Tensor = self.t5.tokens(prompts.tokens_BT) + self.whole_words(prompts.words_BT)
        return embedded

    def read(self, prompts: Prompts) -> Tensor:
        return self.t5.read(self.embed(prompts), prompts.real_BT)

    def write(self, codes_BKP: Tensor, memory_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """[B, K, P + 1, V] logits of tokens 0 … P of ids that begin with the codes."""
        first_P = torch.tensor(self.firsts[: codes_BKP.shape[2]], device=codes_BKP.device, dtype=torch.long)
        return self.t5.write(F.pad(codes_BKP + first_P, (1, 0), value=START), memory_BTD, real_BT)


@dataclass
class P5Decoder:
    """A `CodeDecoder` that writes every segment anew at each level: an id has few tokens."""

    network: P5Network
    memory_BTD: Tensor
    real_BT: Tensor
    codes_BKP: Tensor | None = None
    """None before the first level."""

    def log_odds(self, level: int) -> Tensor:
        network, codes_BKP = self.network, self.codes_BKP
        if codes_BKP is None:
            shape = (len(self.memory_BTD), 1, 0)
            codes_BKP = torch.zeros(shape, dtype=torch.long, device=self.memory_BTD.device)
        logits_BKV = network.write(codes_BKP, self.memory_BTD, self.real_BT)[:, :, -1]
        first = network.firsts[level]
        return logits_BKV.log_softmax(dim=2)[..., first : first + network.sizes[level]]

    def follow(self, parents_BK: Tensor, codes_BK: Tensor) -> None:
        newest_BK1, before = codes_BK[..., None], self.codes_BKP
        if before is None:
            self.codes_BKP = newest_BK1
            return
        rows = parents_BK[..., None].expand(-1, -1, before.shape[2])
        self.codes_BKP = torch.cat([before.gather(1, rows), newest_BK1], dim=2)


class P5(NeuralBaseline[P5Config]):
    """Pretrain, personalised prompt and predict (Geng et al., RecSys 2022), the sequential family of prompts.

    Loss (eq. 1): −Σ_l log p(token l of the id | its tokens before, prompt), prompts drawn among templates;
    whole-word vectors (sec. 3.3); beam search (sec. 3.4). Deviations: only the prompts that ask for the next
    item outright, in our words, no candidate lists, no yes or no, none of the other four task families, no
    user token (the judge passes histories); trained from nothing, small, where the paper goes on from T5;
    ids are codes of the text or pieces of random numbers, for the paper's consecutive numbers leak, and every
    place of an id has tokens of its own; decoding is constrained to ids that exist, and an item whose
    beginning the beam keeps has its exact log probability.
    """

    config_class = P5Config
    module: P5Network
    codes: Tensor
    visual_tokens = 0
    """Tokens of a picture behind every id."""

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        with torch_threads(self.config.threads), torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.codes = torch.from_numpy(self.name_items(data))
        super().learn(data, seed=seed, show_progress=show_progress)

    def name_items(self, data: TrainingData) -> np.ndarray:
        """[I, L] different for every item."""
        if self.config.ids == "random":
            return random_codes(data.num_items)
        features_IF = torch.from_numpy(data.content("text", f"{type(self).__name__} with ids=content"))
        return learn_codes(features_IF, self.config.quantiser)

    def restore(self, arrays: Arrays) -> None:
        self.codes = torch.from_numpy(arrays["codes"])
        super().restore(arrays)

    def build(self, num_items: int) -> P5Network:
        check_heads(type(self).__name__.lower(), self.config.width, self.config.heads)
        self.trie = [table.to(self.config.device) for table in code_trie(self.codes.numpy())]
        return self.network()

    def network(self) -> P5Network:
        return P5Network(self.config, self.codes)

    def prompts(self, windows: Windows, chosen: np.ndarray, template: int) -> Prompts:
        rows_BE = torch.from_numpy(windows.padded(chosen)).to(self.config.device)
        lengths_B = torch.from_numpy(windows.lengths[chosen]).to(self.config.device)
        return write_prompts(rows_BE, lengths_B, self.module.ids, template, self.visual_tokens)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        targets, train = training_targets(data.train, self.config.max_events), data.train
        drawn = random.permutation(len(targets.starts))[: self.config.targets]
        starts, lengths = targets.starts[drawn], targets.lengths[drawn] - 1
        wanted = torch.from_numpy(train.item_rows[starts + lengths]).to(self.config.device)
        windows = Windows(train.item_rows, starts, lengths, train.times)
        for chosen in batches_by_length(lengths, self.config.batch_events, random):
            template = int(random.integers(len(TEMPLATES)))
            yield self.loss(self.prompts(windows, chosen, template), wanted[chosen])

    def loss(self, prompts: Prompts, target_B: Tensor) -> Tensor:
        """Mean over prompts of −Σ_l log p(token l | tokens before, prompt), over all tokens there are."""
        module = self.module
        codes_BL, ids_BL = module.codes[target_B], module.ids[target_B]
        logits = module.write(codes_BL[:, None, :-1], module.read(prompts), prompts.real_BT)[:, 0]
        return F.cross_entropy(logits.flatten(0, 1), ids_BL.flatten()) * ids_BL.shape[1]

    def score_batch(self, histories: Histories) -> Tensor:
        """Log probabilities of the items below the beam; the others far behind, by their first token."""
        windows = whole_windows(histories, self.config.max_events)
        prompts = self.prompts(windows, np.arange(len(windows)), template=0)
        decoder = P5Decoder(self.module, self.module.read(prompts), prompts.real_BT)
        found = beam_search(decoder, self.trie, len(windows), self.config.beam, whole_last_level=True)
        return found.scores(self.module.codes[:, 0])
