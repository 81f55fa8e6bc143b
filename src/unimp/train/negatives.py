"""`NegativeSampler`: the few items that stand for the whole catalogue in one step's softmax."""

# I items, N predictions, K draws, C candidates

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import FloatArray, IntArray

STREAM = 7
"""Sets the random numbers of the negatives apart from those of the batches."""


def log_shares(popularity: FloatArray, common_events: int) -> Tensor | None:
    """[I] log of how much each item counts among the wrong answers; None: every item counts fully.

    popularity: [I] training events.
    """
    if common_events == 1:
        return None
    shares = np.minimum(np.maximum(popularity, 1.0) / common_events, 1.0)
    return torch.from_numpy(np.log(shares).astype(np.float32))


class NegativeSampler:
    """Negatives shared by all predictions of a step: the batch's own targets, and draws by popularity^power.

    Both are draws of items, so item i is expected N · p_i + K · q_i times, where p is the share of an item
    among the training events and q what is drawn from. An item that was drawn n times counts
    n / expected times: the sum over the candidates has the mean of the sum over the catalogue (multiple
    importance sampling with the balance heuristic, Veach & Guibas 1995; logQ correction, Bengio & Senécal
    2008; in-batch negatives, Yi et al. 2019).
    """

    def __init__(
        self,
        popularity: FloatArray,
        *,
        draws: int,
        power: float,
        seed: int,
        cold: bool = True,
        common_events: int = 1,
    ) -> None:
        """`popularity`: [I] training events. `cold`: items without an event are drawn as well.
        `common_events`: see `log_shares`."""
        events = popularity.astype(np.float64)
        wanted = np.maximum(events, 1.0) ** power if cold else np.where(events > 0, events**power, 0.0)
        self.draws, self.seed = draws, seed
        self.in_batch_I = torch.from_numpy(events / max(events.sum(), 1.0))
        self.drawn_I = torch.from_numpy(wanted / wanted.sum())
        self.cumulative_I = np.cumsum(wanted)
        self.log_shares_I = log_shares(popularity, common_events)

    def draw(self, step: int) -> IntArray:
        """[K] item rows, the same for the same seed and step whatever came before."""
        rng = np.random.default_rng([self.seed, STREAM, step])
        places = rng.random(self.draws) * self.cumulative_I[-1]
        rows = np.searchsorted(self.cumulative_I, places, side="right")
        return np.minimum(rows, len(self.cumulative_I) - 1).astype(np.int64)

    def candidates(self, labels_NH: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """(rows [C] in rising order, all labels among them; log of how often each counts [C]).

        Only first labels count as draws; the further right answers of a prediction are candidates too, with
        a weight of 0 for the others where they were not drawn.
        """
        device = labels_NH.device
        drawn_K = torch.from_numpy(self.draw(step)).to(device)
        pool = torch.cat((labels_NH[:, 0], drawn_K))
        rows_C = torch.unique(torch.cat((pool, labels_NH.flatten())))
        places, ones = torch.searchsorted(rows_C, pool), torch.ones(len(pool), dtype=torch.float64)
        times_C = torch.zeros(len(rows_C), dtype=torch.float64, device=device)
        times_C.index_add_(0, places, ones.to(device))
        rows = rows_C.cpu()
        expected_C = len(labels_NH) * self.in_batch_I[rows] + len(drawn_K) * self.drawn_I[rows]
        log_weights_C = (times_C / expected_C.to(device)).log().float()
        if self.log_shares_I is not None:
            log_weights_C += self.log_shares_I[rows].to(device)
        return rows_C, log_weights_C
