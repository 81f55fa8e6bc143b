"""Semantic ids: an item's text as a short tuple of codes, by a residual-quantised autoencoder or by residual
k-means; their trie."""

# I items, F text width, E width of a code vector, L levels, C codes a level, N items of a batch

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.shared.later_settings import VersionedConfig
from unimp.data.histories import IntArray


class QuantiserConfig(VersionedConfig):
    kind: Literal["rq-vae", "k-means"] = "rq-vae"
    """`k-means` clusters the features themselves, level by level what is left over, which spreads items over
    far more codes than an autoencoder that learns. It reads `levels` and `codes` alone."""
    levels: int = Field(default=3, ge=1)
    """Codes that are learnt; one more tells items apart that share all of them."""
    codes: int = Field(default=256, ge=2)
    """Code vectors of a level."""
    width: int = Field(default=32, ge=1)
    """Size of a code vector."""
    hidden: int = Field(default=128, ge=1)
    """Width of the one hidden layer of encoder and decoder; the paper's have three, of 512 to 128."""
    commitment: float = Field(default=0.25, ge=0)
    """β: how strongly residuals are drawn to their code vectors."""
    epochs: int = Field(default=100, ge=0)
    """Passes over the items; 0 leaves the codes as k-means finds them; the paper makes 20,000."""
    batch_items: int = Field(default=1024, ge=1)
    """Items in a batch."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam."""

    added_later: ClassVar[frozenset[str]] = frozenset({"kind"})


class ResidualQuantiser(nn.Module):
    """RQ-VAE (Zeghidour et al. 2021; TIGER, sec. 3.1): each level quantises what the last one left over."""

    def __init__(self, config: QuantiserConfig, num_features: int) -> None:
        super().__init__()
        self.config = config
        hidden, width = config.hidden, config.width
        self.encoder = nn.Sequential(nn.Linear(num_features, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.decoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, num_features))
        self.codebooks_LCE = nn.Parameter(torch.randn(config.levels, config.codes, width))

    @torch.no_grad()
    def place_codes(self, features_IF: Tensor) -> None:
        """Put the code vectors of each level where k-means finds the residuals; the paper's start."""
        levels = residual_k_means(self.encoder(features_IF), self.config)
        for codebook_CE, (centres_CE, _) in zip(self.codebooks_LCE, levels, strict=True):
            codebook_CE.copy_(centres_CE)

    def quantise(self, encoded_NE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes [N, L], their vectors' sum [N, E], and the loss Σ ‖sg[r] − e‖² + β ‖r − sg[e]‖²."""
        residual_NE, codes, total, loss = (
            encoded_NE,
            [],
            torch.zeros_like(encoded_NE),
            encoded_NE.new_zeros(()),
        )
        for codebook_CE in self.codebooks_LCE:
            codes_N = nearest(residual_NE.detach(), codebook_CE)
            vectors_NE = codebook_CE[codes_N]
            drawn = (residual_NE.detach() - vectors_NE).square().sum(dim=1).mean()
            committed = (residual_NE - vectors_NE.detach()).square().sum(dim=1).mean()
            loss = loss + drawn + self.config.commitment * committed
            residual_NE, total = residual_NE - vectors_NE.detach(), total + vectors_NE
            codes.append(codes_N)
        return torch.stack(codes, dim=1), total, loss

    def forward(self, features_NF: Tensor) -> Tensor:
        """‖x − x̂‖² plus the quantisation loss; gradients pass straight through to the encoder."""
        encoded_NE = self.encoder(features_NF)
        _, vectors_NE, loss = self.quantise(encoded_NE)
        decoded_NF = self.decoder(encoded_NE + (vectors_NE - encoded_NE).detach())
        return (features_NF - decoded_NF).square().sum(dim=1).mean() + loss


def nearest(points_NE: Tensor, codebook_CE: Tensor) -> Tensor:
    """[N] the row of the closest code vector."""
    # |p − c|² without |p|², which moves no minimum; one product instead of [N, C, E] differences.
    return (codebook_CE.square().sum(dim=1) - 2 * points_NE @ codebook_CE.T).argmin(dim=1)


def k_means(points_NE: Tensor, count: int, rounds: int = 10) -> Tensor:
    """[count, E] cluster centres by Lloyd's rounds; with fewer points than centres, points are used again."""
    order_N = torch.randperm(len(points_NE), device=points_NE.device)
    centres_CE = points_NE[order_N[torch.arange(count, device=points_NE.device) % len(order_N)]].clone()
    for _ in range(rounds):
        owners_N = nearest(points_NE, centres_CE)
        sizes_C = torch.bincount(owners_N, minlength=count)[:, None]
        sums_CE = torch.zeros_like(centres_CE).index_add_(0, owners_N, points_NE)
        centres_CE = torch.where(sizes_C > 0, sums_CE / sizes_C.clamp(min=1), centres_CE)
    return centres_CE


def residual_k_means(
    points_NE: Tensor, config: QuantiserConfig, rounds: int = 10
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each level the centres [C, E] of what the levels before leave over, and every point's code [N]."""
    residual_NE = points_NE
    for _ in range(config.levels):
        centres_CE = k_means(residual_NE, config.codes, rounds)
        codes_N = nearest(residual_NE, centres_CE)
        yield centres_CE, codes_N
        residual_NE = residual_NE - centres_CE[codes_N]


def learn_codes(features_IF: Tensor, config: QuantiserConfig) -> IntArray:
    """[I, L + 1] a different tuple for every item; draws from torch's generator."""
    if config.kind == "k-means":
        codes = [codes_I for _, codes_I in residual_k_means(features_IF, config, rounds=30)]
        return tell_apart(torch.stack(codes, dim=1).numpy())
    # Unit features have entries near F^-½; at root mean square 1 the learning rate suits any width.
    scaled_IF = features_IF / features_IF.square().mean().sqrt().clamp(min=1e-12)
    quantiser = ResidualQuantiser(config, features_IF.shape[1])
    quantiser.place_codes(scaled_IF)
    optimizer = torch.optim.Adam(quantiser.parameters(), lr=config.lr)
    for _ in range(config.epochs):
        for rows_N in torch.randperm(len(scaled_IF)).split(config.batch_items):
            optimizer.zero_grad(set_to_none=True)
            quantiser(scaled_IF[rows_N]).backward()
            optimizer.step()
    with torch.no_grad():
        codes_IL, _, _ = quantiser.quantise(quantiser.encoder(scaled_IF))
    return tell_apart(codes_IL.numpy())


def tell_apart(codes_IL: IntArray) -> IntArray:
    """[I, L + 1] with a last code that counts the items of the same tuple, from 0."""
    _, group_I = np.unique(codes_IL, axis=0, return_inverse=True)
    order_I = np.argsort(group_I, kind="stable")
    sizes = np.bincount(group_I)
    nth_I = np.empty(len(codes_IL), dtype=np.int64)
    nth_I[order_I] = np.arange(len(codes_IL)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.concatenate([codes_IL, nth_I[:, None]], axis=1)


def code_trie(codes_IL: IntArray) -> list[Tensor]:
    """For each level, [nodes, codes] the node that a code leads to, −1 where no item goes on so.

    Level 0 has one node, the empty tuple; what the last level leads to are item rows.
    """
    parents_I = np.zeros(len(codes_IL), dtype=np.int64)
    tables = []
    for level in range(codes_IL.shape[1]):
        steps, nodes_I = np.unique(
            np.stack([parents_I, codes_IL[:, level]], axis=1), axis=0, return_inverse=True
        )
        table = np.full((parents_I.max() + 1, codes_IL[:, level].max() + 1), -1, dtype=np.int64)
        if level == codes_IL.shape[1] - 1:
            table[parents_I, codes_IL[:, level]] = np.arange(len(codes_IL))
        else:
            table[steps[:, 0], steps[:, 1]] = np.arange(len(steps))
        tables.append(torch.from_numpy(table))
        parents_I = nodes_I.reshape(-1)
    return tables
