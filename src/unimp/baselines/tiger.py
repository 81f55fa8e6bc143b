"""TIGER: the next item's semantic id is generated, code by code, by an encoder-decoder transformer."""

# B users, T events, D width, K segments to decode, P codes so far, S tokens read, L codes of an item, C codes

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import Arrays, TrainingData
from unimp.baselines.neural import NeuralBaseline, NeuralConfig, torch_threads
from unimp.baselines.semantic_ids import QuantiserConfig, code_trie, learn_codes
from unimp.baselines.sequences import batches_by_length, training_windows, whole_windows
from unimp.baselines.transformer import Block, SelfAttention, check_heads, draw_small
from unimp.data.histories import Histories
from unimp.space import Choice, Real, SearchSpace


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


class CrossAttention(nn.Module):
    """Every decoded place reads the tokens of the history that it may see."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project_query, self.project_out = nn.Linear(width, width), nn.Linear(width, width)
        self.project_kv = nn.Linear(width, 2 * width)

    def forward(self, x_BQD: Tensor, memory_BSD: Tensor, visible_BQS: Tensor) -> Tensor:
        """[B, Q, D]; True in `visible` = may read."""
        batch, places, width = x_BQD.shape
        query = self.project_query(x_BQD).view(batch, places, self.heads, -1).transpose(1, 2)
        kv = self.project_kv(memory_BSD).view(batch, memory_BSD.shape[1], 2, self.heads, -1)
        key, value = kv.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(query, key, value, visible_BQS[:, None], dropout_p=dropout)
        mixed: Tensor = self.project_out(read.transpose(1, 2).reshape(batch, places, width))
        return mixed


class DecoderLayer(nn.Module):
    """Self-attention within a segment, a look at the history, a feed-forward layer; norms before each."""

    def __init__(self, config: TIGERConfig) -> None:
        super().__init__()
        width, inner = config.width, config.width * config.expansion
        self.attention = SelfAttention(width, config.heads, config.dropout)
        self.look = CrossAttention(width, config.heads, config.dropout)
        self.feed_forward = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x_BKPD: Tensor, memory_BSD: Tensor, visible_BQS: Tensor) -> Tensor:
        segments_NPD = x_BKPD.flatten(0, 1)
        segments_NPD = segments_NPD + self.drop(self.attention(self.norms[0](segments_NPD)))
        flat_BQD = segments_NPD.view_as(x_BKPD).flatten(1, 2)
        flat_BQD = flat_BQD + self.drop(self.look(self.norms[1](flat_BQD), memory_BSD, visible_BQS))
        flat_BQD = flat_BQD + self.drop(self.feed_forward(self.norms[2](flat_BQD)))
        return flat_BQD.view_as(x_BKPD)


class TIGERNetwork(nn.Module):
    """Codes of the history through the encoder; a segment of codes per item to come through the decoder."""

    codes: Tensor
    """[I, L]."""

    def __init__(self, config: TIGERConfig, codes_IL: Tensor) -> None:
        super().__init__()
        width, self.num_levels = config.width, codes_IL.shape[1]
        self.sizes = [int(size) for size in codes_IL.amax(dim=0) + 1]
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in self.sizes)
        self.start = nn.Embedding(1, width)
        self.levels = nn.Embedding(self.num_levels, width)
        self.positions = nn.Embedding(config.max_events, width)
        self.encoder = nn.ModuleList(
            Block(width, config.heads, width * config.expansion, config.dropout) for _ in range(config.layers)
        )
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm_read, self.norm, self.drop = (
            nn.LayerNorm(width),
            nn.LayerNorm(width),
            nn.Dropout(config.dropout),
        )
        self.outputs = nn.ModuleList(nn.Linear(width, size) for size in self.sizes)
        draw_small(self)
        self.register_buffer("codes", codes_IL)

    def read(self, rows_BT: Tensor) -> Tensor:
        """[B, S = T · L, D]; a token sees all codes of its own item and of those before."""
        codes_BTL = self.codes[rows_BT]
        x = torch.stack([table(codes_BTL[..., level]) for level, table in enumerate(self.tables)], dim=2)
        x = x + self.levels.weight + self.positions.weight[: rows_BT.shape[1], None]
        x_BSD = self.drop(x.flatten(1, 2))
        events_S = torch.arange(rows_BT.shape[1], device=rows_BT.device).repeat_interleave(self.num_levels)
        visible_SS = events_S[:, None] >= events_S
        for block in self.encoder:
            x_BSD = block(x_BSD, visible_SS.expand(len(x_BSD), -1, -1))
        memory: Tensor = self.norm_read(x_BSD)
        return memory

    def decode(self, codes_BKP: Tensor, memory_BSD: Tensor, latest_BK: Tensor) -> Tensor:
        """[B, K, P + 1, D] states that predict codes 0 … P of segments that see events 0 … latest."""
        places = codes_BKP.shape[2]
        known = [self.tables[level](codes_BKP[..., level]) for level in range(places)]
        start = self.start.weight[0].expand(*codes_BKP.shape[:2], -1)
        x_BKPD = self.drop(torch.stack([start, *known], dim=2) + self.levels.weight[: places + 1])
        events_S = torch.arange(memory_BSD.shape[1], device=memory_BSD.device) // self.num_levels
        visible_BQS = (events_S <= latest_BK[..., None]).repeat_interleave(places + 1, dim=1)
        for layer in self.decoder:
            x_BKPD = layer(x_BKPD, memory_BSD, visible_BQS)
        states: Tensor = self.norm(x_BKPD)
        return states


class TIGER(NeuralBaseline[TIGERConfig]):
    """Recommender systems with generative retrieval (Rajput et al., NeurIPS 2023).

    Codes by RQ-VAE on item text with a last code against collisions (sec. 3.1), sequence-to-sequence training
    (sec. 3.2), beam search. Deviations: an encoder token sees its own item and those before, not those after,
    so one pass of a history trains every position; decoding is constrained to tuples that exist (the paper
    lets invalid ones happen), and a step chooses among the codes of its own level; no token for the user;
    learnt positions in the place of T5's relative ones; smaller networks, shorter training.
    """

    config_class = TIGERConfig
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
        return TIGERNetwork(self.config, self.codes)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        windows = training_windows(data.train, self.config.max_events)
        for chosen in batches_by_length(windows.lengths - 1, self.config.batch_events, random):
            rows_BT = torch.from_numpy(windows.padded(chosen)).to(self.config.device)
            lengths_B = torch.from_numpy(windows.lengths[chosen] - 1).to(self.config.device)
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
        windows = whole_windows(histories, self.config.max_events)
        rows_BT = torch.from_numpy(windows.padded(np.arange(len(windows)))).to(self.config.device)
        latest_B = torch.from_numpy(windows.lengths - 1).to(self.config.device)
        items_BK, found_BK, first_BC = self.search(self.module.read(rows_BT), latest_B)
        lowest_B = found_BK.masked_fill(items_BK < 0, torch.inf).amin(dim=1)
        scores_BI = first_BC[:, self.module.codes[:, 0]] + (lowest_B - 100.0)[:, None]
        users_N, places_N = (items_BK >= 0).nonzero(as_tuple=True)
        scores_BI[users_N, items_BK[users_N, places_N]] = found_BK[users_N, places_N]
        return scores_BI

    def search(self, memory_BSD: Tensor, latest_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Items [B, K] (−1: none) and their log p by beam search along the trie; log p of first codes."""
        module = self.module
        node_BK = latest_B.new_zeros((len(latest_B), 1))
        score_BK, codes_BKP = memory_BSD.new_zeros(node_BK.shape), node_BK[..., None][..., :0]
        first_BC = memory_BSD.new_zeros(0)
        for level, table in enumerate(self.trie):
            states = module.decode(codes_BKP, memory_BSD, latest_B[:, None].expand_as(node_BK))
            odds_BKC = module.outputs[level](states[:, :, -1]).log_softmax(dim=2)
            first_BC = odds_BKC[:, 0] if level == 0 else first_BC
            child_BKC = table[node_BK.clamp(min=0)]
            gone_BKC = (child_BKC < 0) | (node_BK < 0)[..., None]
            total_BN = (score_BK[..., None] + odds_BKC).masked_fill(gone_BKC, -torch.inf).flatten(1)
            score_BK, chosen_BK = total_BN.topk(min(self.config.beam, total_BN.shape[1]), dim=1)
            parent_BK, code_BK = chosen_BK // odds_BKC.shape[2], chosen_BK % odds_BKC.shape[2]
            node_BK = child_BKC.flatten(1).gather(1, chosen_BK).masked_fill(score_BK.isinf(), -1)
            before = codes_BKP.gather(1, parent_BK[..., None].expand(-1, -1, level))
            codes_BKP = torch.cat([before, code_BK[..., None]], dim=2)
        return node_BK, score_BK, first_BC
