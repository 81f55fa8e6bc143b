"""Exact ranking: one forward pass and one matrix product score every item of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import Field

from unimp.config import Config
from unimp.data.histories import FloatArray, Histories
from unimp.decode.reader import last_hidden
from unimp.encode.encoder import SentenceEncoder
from unimp.model.unimp import ItemState, UnimpModel
from unimp.sentence.parts import UserSentence
from unimp.structure.graph import ItemGraph

COLD_SHARE = 1e-3
"""What the model's log-probability counts beside log popularity when there is no history."""


class Share(Config):
    """What one source of scores counts beside the model's log-probability."""

    weight: float
    """Factor of its score."""
    recency: float = 1.0
    """Each step back in the history counts this much less."""


class Mixture(Config):
    """Shares by source: a graph's name, or `popularity` (log of training events + 1)."""

    shares: dict[str, Share] = Field(default_factory=dict)


@dataclass
class ModelRanker:
    """Scores of UniMP: log p(item | sentence) + Σ weight · score of a graph (satisfies `Ranker`).

    The mixture is that of nearest-neighbour language models (Khandelwal et al. 2020), in the logits.
    """

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    ask: Callable[[Histories, int], UserSentence]
    """Writes the question after one user's history."""
    popularity: FloatArray
    """[I] training events of every item: what a user without a history is answered by."""
    graphs: Mapping[str, ItemGraph] = field(default_factory=dict)
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
        for name, share in self.mixture.shares.items():
            scores += self.share_of(name, share, histories)
        return scores

    def share_of(self, name: str, share: Share, histories: Histories) -> FloatArray:
        """[U, I] (or [1, I], the same for all) what one source adds."""
        if name == "popularity":
            return np.float32(share.weight) * np.log1p(self.popularity)[None]
        return np.float32(share.weight) * self.graphs[name].score(histories, share.recency)
