"""Methods that learn a vector per user, and how they answer for a history alone."""

# U users, I items, D width

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from unimp.baselines.baseline import Arrays, TrainingData
from unimp.baselines.shared.neural import NeuralBaseline, NeuralConfig, torch_threads
from unimp.baselines.shared.pairs import Pairs
from unimp.data.histories import FloatArray, Histories
from unimp.features.item_graph import user_item_matrix

FoldInConfigT = TypeVar("FoldInConfigT", bound=NeuralConfig)
Learnt = dict[str, Tensor]


class FoldInBaseline(NeuralBaseline[FoldInConfigT]):
    """Base of the collaborative methods. The judge passes histories, never a user's name, and at test time a
    history holds an item that training did not see: so every user, known or new, is folded in.

    A user's vector is |H|^-½ Σ_{i ∈ H} readout_i over the distinct items H of the history; the score of item
    j is its product with items_j, plus bias_j. Each method says in its docstring what its readout is. Where
    the paper has a free vector per user, it is the scaled item vector (see `fold_in_scale`). Measured beside
    trained user vectors it makes no difference for MF and LightGCN (`benchmarks/quality/user_vectors.py`).

    After training only what scoring needs stays: `learnt`. A subclass writes `build`, `losses`, `summary`.
    """

    pairs: Pairs
    """The training log, while training lasts."""
    learnt: Learnt
    """`readout` [I, D], `items` [I, D], `bias` [I] and whatever else the method's score reads."""

    @abstractmethod
    def summary(self) -> Learnt:
        """What scoring needs, from the module as it stands; in evaluation mode, without gradients."""

    def prepare(self, data: TrainingData) -> None:
        """Read what the module is built from (features, graphs); `pairs` is already there."""

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        self.pairs = Pairs.of(data.train, data.num_items)
        self.prepare(data)
        super().learn(data, seed=seed, show_progress=show_progress)
        with torch_threads(self.config.threads):
            self.summarise()
        del self.module, self.pairs

    def summarise(self) -> None:
        self.module.eval()
        with torch.no_grad():
            self.learnt = {name: values.detach().clone() for name, values in self.summary().items()}

    def validate(self, data: TrainingData) -> float:
        self.summarise()
        return super().validate(data)

    def score_known(self, histories: Histories) -> FloatArray:
        with torch_threads(self.config.threads), torch.inference_mode():
            scores: FloatArray = self.score_batch(histories).float().cpu().numpy()
        return scores

    def score_batch(self, histories: Histories) -> Tensor:
        users_UD = self.fold_in(histories, self.learnt["readout"])
        scores_UI = users_UD @ self.learnt["items"].T
        return scores_UI + self.learnt["bias"] if "bias" in self.learnt else scores_UI

    def fold_in(self, histories: Histories, readout_ID: Tensor) -> Tensor:
        """[U, D] |H|^-½ Σ readout over the distinct items of each history."""
        counts_U = np.diff(user_item_matrix(histories, self.num_items).indptr)
        scale_U = torch.from_numpy(counts_U.astype(np.float32)).rsqrt().to(readout_ID.device)
        return sum_over_history(histories, readout_ID) * scale_U[:, None]

    def arrays(self) -> Arrays:
        return {name: values.cpu().numpy() for name, values in self.learnt.items()}

    def restore(self, arrays: Arrays) -> None:
        device = self.config.device
        self.learnt = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}


def sum_over_history(histories: Histories, rows_ID: Tensor) -> Tensor:
    """[U, D] sum of the rows of each user's distinct items."""
    users = user_item_matrix(histories, len(rows_ID)).tocoo()
    owners = torch.from_numpy(users.row.astype(np.int64)).to(rows_ID.device)
    items = torch.from_numpy(users.col.astype(np.int64)).to(rows_ID.device)
    return rows_ID.new_zeros(len(histories), rows_ID.shape[1]).index_add_(0, owners, rows_ID[items])


def fold_in_scale(pairs: Pairs, users_UD: Tensor, items_ID: Tensor) -> Tensor:
    """c that brings c · |H|^-½ Σ items nearest to the trained user vectors, in least squares.

    A ranking by a product alone does not feel it; biases and further branches do.
    """
    owners = torch.from_numpy(pairs.user_rows).to(items_ID.device)
    rows = torch.from_numpy(pairs.item_rows).to(items_ID.device)
    counts_U = torch.bincount(owners, minlength=pairs.num_users).clamp(min=1)
    sums_UD = torch.zeros_like(users_UD).index_add_(0, owners, items_ID[rows])
    folded_UD = sums_UD * counts_U.rsqrt()[:, None]
    return (folded_UD * users_UD).sum() / folded_UD.square().sum().clamp(min=1e-12)
