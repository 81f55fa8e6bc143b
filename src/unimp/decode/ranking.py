"""Exact ranking: one forward pass and one matrix product score every item of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from unimp.config import Config
from unimp.data.histories import FloatArray, Histories
from unimp.decode.reader import last_hidden
from unimp.encode.encoder import SentenceEncoder
from unimp.model.unimp import ItemState, UnimpModel
from unimp.sentence.parts import UserSentence
from unimp.structure.graph import ItemGraph

COLD_SHARE = 1e-3
"""What the model's log-probability counts beside log popularity when there is no history."""


class Mixture(Config):
    """How much the log's closed-form item–item score counts beside the model's log-probability."""

    weight: float = 0.0
    """Factor of the graph's score."""
    recency: float = 1.0
    """Each step back in the history counts this much less in the graph's score."""


@dataclass
class ModelRanker:
    """Scores of UniMP: log p(item | sentence) + weight · graph score (satisfies `Ranker`).

    The mixture is that of nearest-neighbour language models (Khandelwal et al. 2020), in the logits.
    """

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    ask: Callable[[Histories, int], UserSentence]
    """Writes the question after one user's history."""
    popularity: FloatArray
    """[I] training events of every item: what a user without a history is answered by."""
    graph: ItemGraph | None = None
    mixture: Mixture = field(default_factory=Mixture)

    def log_probabilities(self, histories: Histories) -> FloatArray:
        """[U, I] the model alone."""
        sentences = [self.encoder.encode(self.ask(histories, user)) for user in range(len(histories))]
        with torch.inference_mode():
            hidden = last_hidden(self.model, self.state, sentences)
            logits = self.model.item_logits(hidden, self.state.table_ID)
            return np.asarray(torch.log_softmax(logits, dim=-1).cpu().numpy(), dtype=np.float32)

    def score(self, histories: Histories) -> FloatArray:
        """[U, I], higher is better; without a history popularity decides, the model among equals."""
        scores = self.log_probabilities(histories)
        cold = histories.lengths == 0
        scores[cold] = np.log1p(self.popularity) + COLD_SHARE * scores[cold]
        if self.graph is not None and self.mixture.weight:
            scores += self.mixture.weight * self.graph.score(histories, self.mixture.recency)
        return scores
