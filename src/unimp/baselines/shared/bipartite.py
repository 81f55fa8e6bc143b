"""The user–item graph: normalised, and messages over it."""

# U users, I items, D width

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from unimp.baselines.shared.pairs import Pairs


class SparseProduct(torch.autograd.Function):
    """matrix @ dense, both ways by a CSR product; the matrix itself is not learnt."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transposed @ grads[0].contiguous()


@dataclass(frozen=True)
class Bipartite:
    """Messages from items to users and back."""

    items_to_users: Tensor
    """[U, I] CSR."""
    users_to_items: Tensor
    """[I, U] CSR."""
    symmetric: bool
    """Whether one is the other's transpose; means are not."""
    reverse_items_to_users: Tensor
    """[I, U] the transpose of `items_to_users`, for gradients."""
    reverse_users_to_items: Tensor
    """[U, I]."""

    @classmethod
    def of(
        cls,
        users: np.ndarray,
        items: np.ndarray,
        shape: tuple[int, int],
        *,
        norm: Literal["symmetric", "mean"] = "symmetric",
        device: str = "cpu",
    ) -> Bipartite:
        """A graph of edges (users[e], items[e]).

        `symmetric` weighs an edge 1 / √(d_u d_i) (He et al. 2020, eq. 3), degrees counted over these edges;
        `mean` weighs it 1 / d of the node that receives.
        """
        matrix: Any = sp.csr_matrix((np.ones(len(users), dtype=np.float32), (users, items)), shape=shape)
        degree_U = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1.0)
        degree_I = np.maximum(np.asarray(matrix.sum(axis=0)).ravel(), 1.0)
        if norm == "symmetric":
            scaled = (sp.diags(degree_U**-0.5) @ matrix @ sp.diags(degree_I**-0.5)).tocsr()
            forward, back = as_csr(scaled, device), as_csr(scaled.T.tocsr(), device)
            return cls(forward, back, True, back, forward)
        to_users = (sp.diags(1.0 / degree_U) @ matrix).tocsr()
        to_items = (sp.diags(1.0 / degree_I) @ matrix.T).tocsr()
        parts = (to_users, to_items, to_users.T.tocsr(), to_items.T.tocsr())
        forward, back, reverse_forward, reverse_back = (as_csr(part, device) for part in parts)
        return cls(forward, back, False, reverse_forward, reverse_back)

    @classmethod
    def of_pairs(
        cls, pairs: Pairs, *, norm: Literal["symmetric", "mean"] = "symmetric", device: str = "cpu"
    ) -> Bipartite:
        shape = (pairs.num_users, pairs.num_items)
        return cls.of(pairs.user_rows, pairs.item_rows, shape, norm=norm, device=device)

    def to_users(self, items_ID: Tensor) -> Tensor:
        """[U, D] what users hear from their items."""
        heard: Tensor = SparseProduct.apply(self.items_to_users, self.reverse_items_to_users, items_ID)
        return heard

    def to_items(self, users_UD: Tensor) -> Tensor:
        """[I, D]."""
        heard: Tensor = SparseProduct.apply(self.users_to_items, self.reverse_users_to_items, users_UD)
        return heard

    def layers(self, users_UD: Tensor, items_ID: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
        """Layers 0 to `count` of linear propagation, (users, items) each."""
        found = [(users_UD, items_ID)]
        for _ in range(count):
            users_UD, items_ID = self.to_users(items_ID), self.to_items(users_UD)
            found.append((users_UD, items_ID))
        return found


def as_csr(matrix: Any, device: str) -> Tensor:
    matrix.sort_indices()
    starts = torch.from_numpy(matrix.indptr.astype(np.int64))
    columns = torch.from_numpy(matrix.indices.astype(np.int64))
    values = torch.from_numpy(matrix.data.astype(np.float32))
    with warnings.catch_warnings():  # CSR tensors call themselves beta, once per process
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            starts, columns, values, matrix.shape, device=device, check_invariants=True
        )


def layer_mean(layers: list[Tensor]) -> Tensor:
    """Layers weigh the same (He et al. 2020, sec. 3.1.2: α_k = 1 / (K + 1))."""
    return torch.stack(layers).mean(dim=0)
