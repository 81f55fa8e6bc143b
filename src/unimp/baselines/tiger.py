"""TIGER: the next item's semantic id is generated, code by code, by an encoder-decoder transformer."""

# B users, T events, D width, K segments to decode, S tokens read, L codes of an item, C codes

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unimp.baselines.baseline import Arrays, TrainingData
from unimp.baselines.shared.beam import beam_search
from unimp.baselines.shared.causal import latest_rows, target_batches
from unimp.baselines.shared.neural import NeuralBaseline, NeuralConfig, torch_threads
from unimp.baselines.shared.semantic_ids import QuantiserConfig, code_trie, learn_codes
from unimp.baselines.shared.tiger_network import Segments, TIGERNetwork
from unimp.baselines.shared.transformer import check_heads
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.data.histories import Histories


class TIGERConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of code vectors and hidden states; the paper's is 128."""
    layers: int = Field(default=2, ge=1)
    """Of the encoder, and of the decoder; the paper has four."""
    heads: int = Field(default=4, ge=1)
    """Attention heads; must divide the width."""
    expansion: int = Field(default=4, ge=1)
    """Inner width of the feed-forward layer, in widths."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """On the input, in attention and behind every sub-layer."""
    max_events: int = Field(default=20, ge=1)
    """Latest events that are read."""
    beam: int = Field(default=20, ge=1)
    """Tuples that constrained decoding keeps; items it never reaches are ranked by their first code."""
    epochs: int = Field(default=40, ge=1)
    """At most this many passes over the training events."""
    validate_every: int = Field(default=4, ge=1)
    """Epochs from one validation to the next: decoding costs more than training."""
    patience: int = Field(default=4, ge=1)
    """Stop after so many validations without a better NDCG@5."""
    quantiser: QuantiserConfig = QuantiserConfig()
    """How the codes are learnt."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.0, 0.5),
        "weight_decay": Choice((0.0, 1e-3, 1e-2, 0.1)),
        "width": Choice((64, 128)),
        "quantiser.codes": Choice((64, 128, 256)),
    }


@dataclass
class TIGERDecoder:
    """A `CodeDecoder` whose segments grow by one code at each level."""

    network: TIGERNetwork
    segments: Segments
    codes_BK: Tensor
    """The newest codes; zeros before the first level."""

    def log_odds(self, level: int) -> Tensor:
        states_BKD = self.network.grow(self.segments, self.codes_BK)
        logits_BKC: Tensor = self.network.outputs[level](states_BKD)
        return logits_BKC.log_softmax(dim=2)

    def follow(self, parents_BK: Tensor, codes_BK: Tensor) -> None:
        self.segments.follow(parents_BK)
        self.codes_BK = codes_BK


class TIGER(NeuralBaseline[TIGERConfig]):
    """Recommender systems with generative retrieval (Rajput et al., NeurIPS 2023).

    Codes by RQ-VAE on item text with a last code against collisions (sec. 3.1), sequence-to-sequence training
    (sec. 3.2), beam search. Deviations: an encoder token sees its own item and those before, not those after,
    so one pass of a history trains every position; decoding is constrained to tuples that exist (the paper
    lets invalid ones happen), and a step chooses among the codes of its own level; no token for the user;
    learnt positions in the place of T5's relative ones; smaller networks, shorter training.
    """

    config_class = TIGERConfig
    users_at_once = 64
    module: TIGERNetwork
    codes: Tensor

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        features_IF = torch.from_numpy(data.content("text", type(self).__name__))
        with torch_threads(self.config.threads), torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.codes = torch.from_numpy(learn_codes(features_IF, self.config.quantiser))
        super().learn(data, seed=seed, show_progress=show_progress)

    def restore(self, arrays: Arrays) -> None:
        self.codes = torch.from_numpy(arrays["codes"])
        super().restore(arrays)

    def build(self, num_items: int) -> TIGERNetwork:
        check_heads("tiger", self.config.width, self.config.heads)
        self.trie = [table.to(self.config.device) for table in code_trie(self.codes.numpy())]
        shape = self.config.model_dump(
            include={"width", "layers", "heads", "expansion", "dropout", "max_events"}
        )
        return TIGERNetwork(self.codes, **shape)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        for rows_BT, lengths_B in target_batches(data.train, self.config, random):
            yield self.loss(rows_BT, lengths_B)

    def loss(self, rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Mean over real positions of −Σ_l log p(code l of rows[t + 1] | its codes before, rows[: t + 1])."""
        module, latest_T = self.module, torch.arange(rows_BT.shape[1] - 1, device=rows_BT.device)
        target_BTL = module.codes[rows_BT[:, 1:]]
        latest_BT = latest_T.expand(len(rows_BT), -1)
        states = module.decode(target_BTL[..., :-1], module.read(rows_BT[:, :-1]), latest_BT)
        real_BT = latest_T < lengths_B[:, None]
        states_NLD, target_NL = states[real_BT], target_BTL[real_BT]
        parts = [
            F.cross_entropy(output(states_NLD[:, level]), target_NL[:, level])
            for level, output in enumerate(module.outputs)
        ]
        return torch.stack(parts).sum()

    def score_batch(self, histories: Histories) -> Tensor:
        """Log probabilities of the items that the beam reaches; the others far below, by their first code."""
        rows_BT, latest_B = latest_rows(histories, self.config)
        segments = self.module.begin(self.module.read(rows_BT), latest_B)
        decoder = TIGERDecoder(self.module, segments, torch.zeros_like(latest_B)[:, None])
        found = beam_search(decoder, self.trie, len(rows_BT), self.config.beam)
        return found.scores(self.module.codes[:, 0])
