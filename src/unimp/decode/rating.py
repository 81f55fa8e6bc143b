"""Ratings: the distribution over the rating tokens after the item that is asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from unimp.answer import Rater
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.decode.reader import last_hidden
from unimp.decode.sources import Mixture
from unimp.encode.encoder import SentenceEncoder
from unimp.model.unimp import ItemState, UnimpModel
from unimp.sentence.parts import UserSentence

BIASES = "biases"


@dataclass
class ModelRater:
    """p(rating) of UniMP, times a bell around the closed-form biases' forecast (satisfies `Rater`).

    A product of experts (Hinton 2002): the bell's log density counts with the weight validation chose.
    """

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    ask: Callable[[Histories, int, int], UserSentence]
    """Writes the question for one user and an item row: its rating comes next."""
    biases: Rater | None = None
    """The closed form: mean, user's and item's bias."""
    spread: float = 1.0
    """Standard deviation of the ratings around its forecast."""
    mixture: Mixture = field(default_factory=Mixture)

    @property
    def levels(self) -> FloatArray:
        """[L] the scale."""
        return np.array(self.encoder.vocabulary.rating_levels, dtype=np.float32)

    def log_probabilities(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U, L] the model alone."""
        rows = item_rows.tolist()
        sentences = [self.ask(histories, user, row) for user, row in enumerate(rows)]
        return rating_log_probabilities(self.model, self.state, self.encoder, sentences)

    def distribution(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U, L] probabilities, rows sum to 1."""
        scores = self.log_probabilities(histories, item_rows)
        share = self.mixture.shares.get(BIASES)
        if share is not None and self.biases is not None:
            scores = scores + share.weight * self.bell(self.biases.rate(histories, item_rows))
        return normalised(scores)

    def bell(self, forecast: FloatArray) -> FloatArray:
        """[U, L] log density of every level around a forecast [U], up to a constant."""
        return np.asarray(
            -((self.levels[None] - forecast[:, None]) ** 2) / (2 * self.spread**2), dtype=np.float32
        )

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U] expected ratings."""
        return np.asarray(self.distribution(histories, item_rows) @ self.levels, dtype=np.float32)


def normalised(scores: FloatArray) -> FloatArray:
    """Softmax over the last axis."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)


def rating_log_probabilities(
    model: UnimpModel, state: ItemState, encoder: SentenceEncoder, sentences: Sequence[UserSentence]
) -> FloatArray:
    """[N, L] log p(rating) at the end of every sentence."""
    vocabulary = encoder.vocabulary
    with torch.inference_mode():
        hidden = last_hidden(model, state, [encoder.encode(sentence) for sentence in sentences])
        logits = model.token_logits(hidden, vocabulary.first_rating, vocabulary.first_word)
        return np.asarray(torch.log_softmax(logits, dim=-1).cpu().numpy(), dtype=np.float32)
