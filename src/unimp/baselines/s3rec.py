"""S3-Rec: a self-attentive encoder pre-trained to tie items, attributes, segments and histories together."""

# B users, T events, D width, I items, A attribute values, N positions

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.attributes import attribute_matrix
from unimp.baselines.shared.causal import CausalBaseline, CausalConfig, last_states
from unimp.baselines.shared.positions import PositionConfig, PositionedNetwork, PositionVectors
from unimp.baselines.shared.s3rec_views import PretrainingViews, draw_views
from unimp.baselines.shared.sequences import batches_by_length, training_windows
from unimp.baselines.shared.transformer import Block, check_heads, draw_small
from unimp.core.cross_entropy import full_cross_entropy
from unimp.core.progress import progress_bar
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.data.histories import FloatArray


class S3RecConfig(PositionConfig, CausalConfig):
    width: int = Field(default=64, ge=1)
    """Size of item vectors and hidden states."""
    layers: int = Field(default=2, ge=1)
    """Transformer layers."""
    heads: int = Field(default=2, ge=1)
    """Attention heads; must divide the width."""
    expansion: int = Field(default=4, ge=1)
    """Inner width of the feed-forward layer, in widths."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """On the input, in attention and behind every sub-layer; the paper's is .5."""
    loss: Literal["pairwise", "cross-entropy"] = "cross-entropy"
    """Fine-tuning: over all items, as `sasrec`'s, or `pairwise` as the paper's, one negative a target. With
    the latter hm's validation NDCG@5 is .030 instead of .048."""
    batch_events: int = Field(default=512, ge=1)
    """Events in a batch, padding included."""
    pretrain_epochs: int = Field(default=20, ge=0)
    """Passes of pre-training; the paper makes 100."""
    mask_share: float = Field(default=0.2, gt=0, lt=1)
    """Probability of an event to be masked in pre-training."""
    aap_weight: float = Field(default=0.2, ge=0)
    """Of associated attribute prediction; 0 leaves it out."""
    mip_weight: float = Field(default=1.0, ge=0)
    """Of masked item prediction."""
    map_weight: float = Field(default=1.0, ge=0)
    """Of masked attribute prediction; 0 leaves it out."""
    sp_weight: float = Field(default=0.5, ge=0)
    """Of segment prediction."""
    attribute_items: int = Field(default=5, ge=1)
    """Attribute values that fewer items have are left out; the paper keeps all."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "pretrain_epochs": Choice((5, 10, 20, 40)),
        "mask_share": Real(0.1, 0.5),
        "width": Choice((32, 64, 128)),
    }


class S3RecNetwork(PositionedNetwork):
    """One encoder, read causally for recommendation and from both sides while it is pre-trained."""

    def __init__(self, config: S3RecConfig, num_items: int) -> None:
        super().__init__()
        width = config.width
        self.items = nn.Embedding(num_items, width)
        self.mask = nn.Embedding(1, width)
        self.positions = PositionVectors(config.max_events, width, config.positions_from)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, width * config.expansion, config.dropout, "post", "gelu")
            for _ in range(config.layers)
        )
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(config.dropout)
        draw_small(self)

    def encode(self, x_BTD: Tensor, visible_BTT: Tensor | None, lengths_B: Tensor | None) -> Tensor:
        x_BTD = self.drop(self.norm(x_BTD + self.positions.of(x_BTD.shape[1], lengths_B)))
        for block in self.blocks:
            x_BTD = block(x_BTD, visible_BTT)
        return x_BTD

    def forward(self, rows_BT: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """[B, T, D], causal."""
        return self.encode(self.items(rows_BT), None, lengths_B)

    def both_sides(self, rows_BT: Tensor, masked_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, D] where every position reads all real ones, and the mask in place of what is masked."""
        real_BT = torch.arange(rows_BT.shape[1], device=rows_BT.device) < lengths_B[:, None]
        x_BTD = torch.where(masked_BT[..., None], self.mask.weight[0], self.items(rows_BT))
        return self.encode(x_BTD, real_BT[:, None], lengths_B)


class S3RecPretraining(nn.Module):
    """The four objectives of sec. 4.2; each compares two things by a bilinear product aᵀ W b.

    Summed as in the authors' code: over events and attribute values, per history. The two over items and
    segments contrast the true one with one negative, −log σ(true − negative); the two over attributes ask
    for every value whether the item has it.
    """

    has_IA: Tensor
    """[I, A] 1 where the item has the value."""

    def __init__(self, config: S3RecConfig, network: S3RecNetwork, attributes_IA: FloatArray) -> None:
        super().__init__()
        width, self.config, self.network = config.width, config, network
        self.register_buffer("has_IA", torch.from_numpy(attributes_IA), persistent=False)
        self.attributes = nn.Embedding(attributes_IA.shape[1], width)
        self.item_attribute, self.state_item, self.state_attribute, self.state_segment = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        for part in (self.item_attribute, self.state_item, self.state_attribute, self.state_segment):
            nn.init.xavier_uniform_(part.weight)
        nn.init.normal_(self.attributes.weight, std=0.02)

    def forward(self, views: PretrainingViews) -> Tensor:
        """The weighted sum of the four, per history."""
        config, network = self.config, self.network
        real_BT = torch.arange(views.rows_BT.shape[1], device=views.rows_BT.device) < views.lengths_B[:, None]
        masked_BT = views.masked_BT
        state_ND = network.both_sides(views.rows_BT, masked_BT, views.lengths_B)[masked_BT]
        hidden_N = views.rows_BT[masked_BT]
        total = config.mip_weight * self.masked_items(state_ND, hidden_N, views.negatives_BT[masked_BT])
        if config.aap_weight:
            total = total + config.aap_weight * self.item_attributes(views.rows_BT[real_BT & ~masked_BT])
        if config.map_weight:
            total = total + config.map_weight * self.masked_attributes(state_ND, hidden_N)
        if config.sp_weight:
            total = total + config.sp_weight * self.segments(views)
        return total / len(views.rows_BT)

    def item_attributes(self, rows_N: Tensor) -> Tensor:
        """AAP: σ(eᵢᵀ W eₐ), from the vectors of the items that are not masked."""
        logits_NA = self.item_attribute(self.network.items(rows_N)) @ self.attributes.weight.T
        return F.binary_cross_entropy_with_logits(logits_NA, self.has_IA[rows_N], reduction="sum")

    def masked_items(self, state_ND: Tensor, rows_N: Tensor, negatives_N: Tensor) -> Tensor:
        """MIP: the masked item before another one, from the state at its place."""
        state_ND = self.state_item(state_ND)
        true_N = (state_ND * self.network.items(rows_N)).sum(dim=1)
        negative_N = (state_ND * self.network.items(negatives_N)).sum(dim=1)
        return -F.logsigmoid(true_N - negative_N).sum()

    def masked_attributes(self, state_ND: Tensor, rows_N: Tensor) -> Tensor:
        """MAP: σ(fₜᵀ W eₐ), the attributes of the masked item from the state at its place."""
        logits_NA = self.state_attribute(state_ND) @ self.attributes.weight.T
        return F.binary_cross_entropy_with_logits(logits_NA, self.has_IA[rows_N], reduction="sum")

    def segments(self, views: PretrainingViews) -> Tensor:
        """SP: a history without a segment, next to that segment, before next to another user's."""
        inside_BT, ends_B = views.segment_BT, views.lengths_B - 1
        around_BTD = self.network.both_sides(views.rows_BT, inside_BT, views.lengths_B)
        true_BTD = self.network.both_sides(views.rows_BT, ~inside_BT, views.lengths_B)
        negative_BTD = self.network.both_sides(views.other_rows_BT, ~inside_BT, views.lengths_B)
        around_BD = self.state_segment(last_states(around_BTD, ends_B))
        true_B = (around_BD * last_states(true_BTD, ends_B)).sum(dim=1)
        negative_B = (around_BD * last_states(negative_BTD, ends_B)).sum(dim=1)
        return -F.logsigmoid(true_B - negative_B).sum()


class S3Rec(CausalBaseline[S3RecConfig]):
    """Self-supervised sequential recommendation by mutual information (Zhou et al., CIKM 2020).

    Pre-training, then fine-tuning at every position of one pass; both on the training events. Attributes are
    the catalogue's category columns. Deviations: the full softmax for the pairwise loss of sec. 4.3 (`loss`),
    as for SASRec, on which the method builds; fewer passes of pre-training, rare attribute values left out,
    AAP read off the item's own vector as eq. (5) has it (their code: off the encoder's state), a fresh Adam
    for fine-tuning. Their ranking gives seen items the score 0; ours leaves masking to the judge.
    """

    config_class = S3RecConfig
    module: S3RecNetwork

    def build(self, num_items: int) -> S3RecNetwork:
        check_heads("s3rec", self.config.width, self.config.heads)
        return S3RecNetwork(self.config, num_items)

    def train_epochs(self, data: TrainingData, random: np.random.Generator, show_progress: bool) -> None:
        if self.config.pretrain_epochs:
            self.pretrain(data, random, show_progress)
        super().train_epochs(data, random, show_progress)

    def pretrain(self, data: TrainingData, random: np.random.Generator, show_progress: bool) -> None:
        config = self.config
        if config.aap_weight or config.map_weight:
            remedy = "or set s3rec.aap_weight=0 and s3rec.map_weight=0 to pre-train on item ids alone"
            attributes_IA = attribute_matrix(data.catalog, config.attribute_items, "s3rec", remedy)
        else:
            attributes_IA = np.zeros((data.num_items, 0), dtype=np.float32)
        pretraining = S3RecPretraining(config, self.module, attributes_IA).to(config.device)
        optimizer = torch.optim.AdamW(
            pretraining.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        pretraining.train()
        loss = torch.zeros(())
        with progress_bar("S3Rec: pre-training", config.pretrain_epochs, show=show_progress) as bar:
            for _ in range(config.pretrain_epochs):
                for views in self.views(data, random):
                    loss = pretraining(views)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                bar.advance(1, f"loss {loss.item():.3f}")

    def views(self, data: TrainingData, random: np.random.Generator) -> Iterator[PretrainingViews]:
        """One epoch of what pre-training reads."""
        windows = training_windows(data.train, max(self.config.max_events - 1, 1))
        for chosen in batches_by_length(windows.lengths, self.config.batch_events, random):
            drawn = draw_views(windows, chosen, data.num_items, self.config.mask_share, random)
            yield drawn.to(self.config.device)

    def position_loss(self, hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Mean of −log σ(h·e⁺ − h·e⁻), or the full softmax."""
        items = self.module.items
        if self.config.loss == "cross-entropy":
            return full_cross_entropy(hidden_ND, items.weight, targets_N)
        # One of I − 1: a draw that would be the target itself takes the item behind it.
        draws_N = torch.randint(items.num_embeddings - 1, targets_N.shape, device=targets_N.device)
        negatives_N = draws_N + (draws_N >= targets_N)
        margins_N = (hidden_ND * (items(targets_N) - items(negatives_N))).sum(dim=1)
        return -F.logsigmoid(margins_N).mean()
