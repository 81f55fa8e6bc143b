"""MMGCL: LightGCN per modality, and a contrast between views with dropped edges and a masked modality."""

# U users, I items, N pairs of a batch, F features, D width, M channels: ids and one per modality

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import Modality, TrainingData
from unimp.baselines.mf import Factors
from unimp.baselines.shared.bipartite import Bipartite, layer_mean
from unimp.baselines.shared.foldin import FoldInBaseline, Learnt
from unimp.baselines.shared.neural import NeuralConfig
from unimp.baselines.shared.pairs import Triples, bpr_loss, squared_norm
from unimp.core.search_space import Real, SearchSpace, Whole


class MMGCLConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of every channel's vectors; the authors' is 64."""
    layers: int = Field(default=2, ge=1)
    """Rounds of propagation; the authors' code has 3."""
    modalities: tuple[Modality, ...] = Field(default=("text", "image"), min_length=1)
    """Channels beside the ids."""
    edge_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Share of edges that the first view lacks; the authors' is .05."""
    masking: float = Field(default=0.05, ge=0, lt=1)
    """Share of nodes that the masked modality of the second view lacks; the authors' is .05."""
    contrast: float = Field(default=0.4, ge=0)
    """Weight of the contrastive loss; the authors' is .4."""
    contrast_pairs: int = Field(default=1024, ge=2)
    """Pairs that are one another's negatives in the contrast: a batch is contrasted in blocks of so many."""
    temperature: float = Field(default=0.2, gt=0)
    """τ of the contrastive loss; the authors' is .2."""
    l2: float = Field(default=1.1e-4, ge=0)
    """Weight of half the squared norm of a triple's id vectors; the authors' is 1.1e-4."""
    lr: float = Field(default=3e-3, gt=0)
    """Learning rate of AdamW, constant."""
    epochs: int = Field(default=60, ge=1)
    """At most this many passes over the training pairs."""
    batch_events: int = Field(default=8192, ge=1)
    """Pairs in a batch. Every batch propagates over the whole graph, so few large batches are quicker."""
    validate_every: int = Field(default=3, ge=1)
    """Epochs from one validation to the next."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(5e-4, 2e-2, log=True),
        "l2": Real(1e-6, 1e-2, log=True),
        "contrast": Real(0.03, 3.0, log=True),
        "temperature": Real(0.1, 0.6),
        "layers": Whole(1, 3),
    }


class ModalFactors(Factors):
    """Id vectors, a projection per modality, and what reads all channels together on either side."""

    def __init__(self, num_users: int, contents: list[Tensor], width: int) -> None:
        super().__init__(num_users, len(contents[0]), width)
        self.projections = nn.ModuleList(nn.Linear(content.shape[1], width) for content in contents)
        self.read_user = nn.Linear(width * (1 + len(contents)), width)
        self.read_item = nn.Linear(width * (1 + len(contents)), width)
        for part in (*self.projections, self.read_user, self.read_item):
            nn.init.xavier_uniform_(part.weight)
        self.contents = contents

    def channels(self) -> list[Tensor]:
        """[I, D] per channel: ids, then the projected modalities."""
        projected = zip(self.projections, self.contents, strict=True)
        return [self.items.weight, *(project(content) for project, content in projected)]


def contrast_loss(user_ND: Tensor, item_ND: Tensor, hard_ND: Tensor, temperature: float) -> Tensor:
    """Mean of −log e^(u·i/τ) / (Σ_j e^(u·i_j/τ) + e^(u·h/τ)) over unit vectors: j runs over the batch's
    positives, h is the pair's challenging negative, its item with one modality of another item."""
    user_ND, item_ND, hard_ND = (F.normalize(side, dim=1) for side in (user_ND, item_ND, hard_ND))
    hard_N1 = (user_ND * hard_ND).sum(1, keepdim=True)
    logits = torch.cat([user_ND @ item_ND.T, hard_N1], dim=1) / temperature
    return F.cross_entropy(logits, torch.arange(len(user_ND), device=user_ND.device))


class MMGCL(FoldInBaseline[MMGCLConfig]):
    """Multi-modal graph contrastive learning for micro-video recommendation (Yi et al., SIGIR 2022).

    Each channel (ids, text, picture) is propagated as by LightGCN from the same user vectors; a linear layer
    per side reads all channels; BPR on the product. The contrast takes two views of the graph, one with
    edges dropped in every channel (modality edge dropout), one in which a single modality, drawn at random,
    loses nodes (modality masking), and in each sets a user against her item, the batch's other items, and a
    challenging negative: her item with one modality, drawn at random, of the sampled negative.

    Deviations: graphs are dropped anew per epoch, not per batch. The released code counts the first view
    twice and leaves the challenging negative out of its sum; here both views and the negative count.
    Scoring folds the history in as LightGCN here does, channel by channel, the user's layer 0 left out.
    """

    config_class = MMGCLConfig
    module: ModalFactors
    graph: Bipartite
    contents: list[Tensor]

    def prepare(self, data: TrainingData) -> None:
        device = self.config.device
        self.graph = Bipartite.of_pairs(self.pairs, device=device)
        tables = [data.content(modality, type(self).__name__) for modality in self.config.modalities]
        self.contents = [F.normalize(torch.from_numpy(table), dim=1).to(device) for table in tables]

    def build(self, num_items: int) -> ModalFactors:
        return ModalFactors(self.pairs.num_users, self.contents, self.config.width)

    def propagate(self, graph: Bipartite, channels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """[U, M·D] and [I, M·D] layer means, all channels side by side in one product."""
        users_UD = self.module.users.weight.repeat(1, len(channels))
        layers = graph.layers(users_UD, torch.cat(channels, dim=1), self.config.layers)
        users, items = (layer_mean([layer[side] for layer in layers]) for side in (0, 1))
        return users, items

    def without_edges(self, random: np.random.Generator) -> Bipartite:
        kept = random.random(len(self.pairs)) >= self.config.edge_dropout
        return self.subgraph(kept)

    def without_nodes(self, random: np.random.Generator) -> Bipartite:
        share = self.config.masking
        users = random.random(self.pairs.num_users) >= share
        items = random.random(self.pairs.num_items) >= share
        return self.subgraph(users[self.pairs.user_rows] & items[self.pairs.item_rows])

    def subgraph(self, kept: np.ndarray) -> Bipartite:
        shape = (self.pairs.num_users, self.pairs.num_items)
        users, items = self.pairs.user_rows[kept], self.pairs.item_rows[kept]
        return Bipartite.of(users, items, shape, device=self.config.device)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        dropped, masked = self.without_edges(random), self.without_nodes(random)
        for batch in self.pairs.epoch(self.config.batch_events, random, device=self.config.device):
            modality = 1 + int(random.integers(len(self.contents)))
            swapped = 1 + random.integers(len(self.contents), size=2)
            yield self.loss(batch, dropped, masked, modality, (int(swapped[0]), int(swapped[1])))

    def loss(
        self, batch: Triples, dropped: Bipartite, masked: Bipartite, modality: int, swapped: tuple[int, int]
    ) -> Tensor:
        """`modality` is the channel that the second view masks, `swapped` the one that each view's
        challenging negatives take from another item."""
        module, channels = self.module, self.module.channels()
        whole = self.propagate(self.graph, channels)
        hidden = self.propagate(masked, channels[modality : modality + 1])
        second = tuple(
            replace_channel(side, part, modality) for side, part in zip(whole, hidden, strict=True)
        )
        negatives = batch.negatives[:, 0]
        user_ND = module.read_user(whole[0][batch.users])
        scores = [
            (user_ND * module.read_item(whole[1][rows])).sum(1) for rows in (batch.positives, negatives)
        ]
        total = bpr_loss(*scores)
        views = (self.propagate(dropped, channels), second)
        for (users, items), channel in zip(views, swapped, strict=True):
            total = total + self.config.contrast * self.view_loss(users, items, batch, channel)
        ids = module.users(batch.users), module.items(batch.positives), module.items(negatives)
        return total + self.config.l2 * squared_norm(*ids)

    def view_loss(self, users: Tensor, items: Tensor, batch: Triples, channel: int) -> Tensor:
        """The contrast within one view. users, items: [U or I, M·D]."""
        module, width = self.module, self.config.width
        own, other = items[batch.positives], items[batch.negatives[:, 0]]
        hard = replace_channel(own, other[:, channel * width : (channel + 1) * width], channel)
        parts = module.read_user(users[batch.users]), module.read_item(own), module.read_item(hard)
        blocks = zip(*(part.split(self.config.contrast_pairs) for part in parts), strict=True)
        losses = [
            contrast_loss(user, item, other, self.config.temperature) * len(user)
            for user, item, other in blocks
        ]
        return torch.stack(losses).sum() / len(batch.users)

    def summary(self) -> Learnt:
        module, config = self.module, self.config
        channels = module.channels()
        users_UD = module.users.weight.repeat(1, len(channels))
        layers = self.graph.layers(users_UD, torch.cat(channels, dim=1), config.layers)
        items = [layer[1] for layer in layers]
        popularity_I = torch.from_numpy(np.bincount(self.pairs.item_rows, minlength=self.num_items))
        scale_I = popularity_I.clamp(min=1).rsqrt().to(items[0].device) / len(items)
        final_ID = module.read_item(layer_mean(items))
        return {
            # The user's linear layer is taken into the items' read-out, its offset into the items' bias.
            "readout": sum(items[:-1]) * scale_I[:, None] @ module.read_user.weight.T,
            "items": final_ID,
            "bias": final_ID @ module.read_user.bias,
        }


def replace_channel(wide: Tensor, part: Tensor, channel: int) -> Tensor:
    """[., M·D] with the channel's D columns taken from `part`."""
    width = part.shape[1]
    return torch.cat([wide[:, : channel * width], part, wide[:, (channel + 1) * width :]], dim=1)
