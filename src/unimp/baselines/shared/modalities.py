"""MMSSL's network: ids seen through each modality's structure, fused, propagated, joined by content."""

# U users, I items, N rows, D width, H heads, M modalities, E = H · D

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.baselines.mf import Factors
from unimp.baselines.shared.bipartite import Bipartite, layer_mean


class Shape(Protocol):
    """The part of the method's config that the network reads."""

    @property
    def width(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def id_rate(self) -> float: ...
    @property
    def content_rate(self) -> float: ...


@dataclass(frozen=True)
class Views:
    """Everything that one forward pass gives; lists run over the modalities or the layers."""

    contents: list[Tensor]
    """[I, D] projected features."""
    user_contents: list[Tensor]
    """[U, D] their mean over a user's items."""
    item_contents: list[Tensor]
    """[I, D] the mean of that over an item's users."""
    user_ids: list[Tensor]
    """[U, D] id vectors seen through a modality's learnt structure."""
    user_fused: Tensor
    """[U, D] those, fused by attention."""
    item_layers: list[Tensor]
    """[I, D] layers 0 to K of the items' id vectors."""
    users: Tensor
    """[U, D] final."""
    items: Tensor
    """[I, D] final."""


class ModalityNetwork(Factors):
    """Id vectors, feature projections, attention between modalities."""

    def __init__(self, num_users: int, contents: list[Tensor], shape: Shape) -> None:
        width = shape.width
        super().__init__(num_users, len(contents[0]), width)
        self.shape, self.contents = shape, contents
        self.projections = nn.ModuleList(nn.Linear(content.shape[1], width) for content in contents)
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.merge = nn.Linear(shape.heads * width, width, bias=False)
        self.drop = nn.Dropout(shape.dropout)
        for part in (*self.projections, self.query, self.key, self.merge):
            nn.init.xavier_uniform_(part.weight)

    def fuse(self, views: list[Tensor]) -> Tensor:
        """[., D] multi-head attention between the modalities of each row, then their mean."""
        weights = self.query.weight, self.key.weight, self.merge.weight
        return attend(torch.stack(views, dim=1), *weights, self.shape.heads).mean(dim=1)

    def forward(self, graph: Bipartite, structures: list[Bipartite]) -> Views:
        users, items, shape = self.users.weight, self.items.weight, self.shape
        projected = zip(self.projections, self.contents, strict=True)
        contents = [self.drop(project(content)) for project, content in projected]
        user_contents = [graph.to_users(content) for content in contents]
        item_contents = [graph.to_items(content) for content in user_contents]
        user_ids = [structure.to_users(items) for structure in structures]
        user_fused = self.fuse(user_ids)
        item_fused = self.fuse([structure.to_items(users) for structure in structures])
        user_layers = [users + shape.id_rate * F.normalize(user_fused, dim=1)]
        item_layers = [items + shape.id_rate * F.normalize(item_fused, dim=1)]
        for _ in range(shape.layers):
            user_layers.append(graph.to_users(item_layers[-1]))
            item_layers.append(graph.to_items(user_layers[-1]))
        return Views(
            contents,
            user_contents,
            item_contents,
            user_ids,
            user_fused,
            item_layers,
            with_contents(layer_mean(user_layers), user_contents, shape.content_rate),
            with_contents(layer_mean(item_layers), item_contents, shape.content_rate),
        )


def attend(x_NMD: Tensor, query_DD: Tensor, key_DD: Tensor, merge_DE: Tensor, heads: int) -> Tensor:
    """[N, M, D] every head weighs the whole vectors of the modalities; `merge` brings the heads together."""
    batch, modalities, width = x_NMD.shape
    split = (batch, modalities, heads, width // heads)
    query, key = ((x_NMD @ weight.T).view(split).transpose(1, 2) for weight in (query_DD, key_DD))
    weights_NHMM = (query @ key.transpose(2, 3) / (width // heads) ** 0.5).softmax(dim=-1)
    read = weights_NHMM @ x_NMD[:, None]  # [N, H, M, D]
    return read.transpose(1, 2).reshape(batch, modalities, heads * width) @ merge_DE.T


def with_contents(ids: Tensor, contents: list[Tensor], rate: float) -> Tensor:
    return ids + rate * sum((F.normalize(part, dim=1) for part in contents), torch.zeros_like(ids))


def cross_modal_loss(view_ND: Tensor, fused_ND: Tensor, temperature: float) -> Tensor:
    """Mean of −log e^(s(z_n, h_n)/τ) / (Σ_j e^(s(z_n, h_j)/τ) + Σ_{j≠n} e^(s(z_n, z_j)/τ)), s the cosine."""
    view_ND, fused_ND = F.normalize(view_ND, dim=1), F.normalize(fused_ND, dim=1)
    own = (view_ND @ view_ND.T).fill_diagonal_(-torch.inf)
    logits = torch.cat([view_ND @ fused_ND.T, own], dim=1) / temperature
    return F.cross_entropy(logits, torch.arange(len(view_ND), device=view_ND.device))
