"""Ratings: the distribution over the rating tokens after the item in question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch

from unimp.answer import Rater
from unimp.core.products import matrix_vector
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.inference.decoder import Decoder
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.reading import hidden_at_end
from unimp.inference.score_sources import FusionWeights, ScoreSources, SourceWeight
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.parts import UserSentence
from unimp.tasks.rating.preference_percentile import PreferencePercentile

FACTORS, TASTE = "factors", "taste"
STEPS = 40
"""Halvings of the interval in which a distribution's tilt is sought."""
STEEPEST = 30.0
"""Largest tilt, in nats per unit of the scale."""


@dataclass
class ModelRater(Decoder):
    """p(rating) of UniMP, its mean drawn towards the closed form's, and up for items to the user's taste
    (satisfies `Rater`).

    The distribution is tilted exponentially until it has the mixed mean: of all distributions with that
    mean, the one nearest to the model's (Csiszár 1975).
    """

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    ask: Callable[[Histories, int, int], UserSentence]
    """Writes the question for one user and an item row: its rating comes next."""
    factors: Rater | None = None
    """The closed form: biases and factors of the ratings."""
    taste: PreferencePercentile | None = None
    """The recommendation's opinion of the item, by the same checkpoint."""
    fusion_weights: FusionWeights = field(default_factory=FusionWeights)
    cache: PrefixCache | None = None

    def with_items(self, state: ItemState, sources: ScoreSources) -> Self:
        taste = None if self.taste is None else self.taste.with_items(state, sources)
        return replace(self, state=state, taste=taste)

    def with_prefixes(self, cache: PrefixCache) -> Self:
        taste = None if self.taste is None else self.taste.with_prefixes(cache)
        return replace(self, cache=cache, taste=taste)

    @property
    def levels(self) -> FloatArray:
        """[L] the scale."""
        return np.array(self.encoder.vocabulary.rating_levels, dtype=np.float32)

    def log_probabilities(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U, L] the model alone."""
        rows = item_rows.tolist()
        encoded = [self.encoder.encode(self.ask(histories, user, row)) for user, row in enumerate(rows)]
        users = histories.user_ids.tolist()
        vocabulary = self.encoder.vocabulary
        with torch.inference_mode():
            hidden = hidden_at_end(self.model, self.state, encoded, self.cache, users)
            logits = self.model.token_logits(hidden, vocabulary.first_rating, vocabulary.first_word)
            return np.asarray(torch.log_softmax(logits, dim=-1).cpu().numpy(), dtype=np.float32)

    def distribution(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U, L] probabilities, rows sum to 1."""
        shares = normalised(self.log_probabilities(histories, item_rows))
        if not self.fusion_weights.shares:
            return shares
        own = matrix_vector(shares, self.levels)
        return tilted(shares, self.levels, self.means(own, histories, item_rows))

    def means(self, own_U: FloatArray, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U] the model's own means with the sources mixed in."""
        means, shares = own_U, self.fusion_weights.shares
        if FACTORS in shares and self.factors is not None:
            means = mixed(means, self.factors.rate(histories, item_rows), shares[FACTORS].weight)
        if TASTE in shares and self.taste is not None:
            means = means + lifted(self.taste.percentiles(histories, item_rows), shares[TASTE])
        return means

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U] expected ratings."""
        return matrix_vector(self.distribution(histories, item_rows), self.levels)


def mixed(own: FloatArray, other: FloatArray, weight: float) -> FloatArray:
    """[U] means, the other's with `weight` in 0…1."""
    return np.asarray((1.0 - weight) * own + weight * other, dtype=np.float32)


def lifted(percentiles_U: FloatArray, share: SourceWeight) -> FloatArray:
    """[U] what taste adds to the mean; 0 where it is not known."""
    added = share.weight * (percentiles_U - share.centre)
    return np.asarray(np.where(np.isnan(percentiles_U), 0.0, added), dtype=np.float32)


def tilted(shares_UL: FloatArray, levels_L: FloatArray, means_U: FloatArray) -> FloatArray:
    """p · exp(tilt · level), normalised, with each row's tilt found by bisection to give its mean."""
    margin = 1e-3 * float(levels_L[-1] - levels_L[0])
    wanted = np.clip(means_U, levels_L[0] + margin, levels_L[-1] - margin)
    scores, centred = np.log(np.maximum(shares_UL, 1e-12)), levels_L - levels_L.mean()
    low, high = np.full(len(wanted), -STEEPEST), np.full(len(wanted), STEEPEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        short = matrix_vector(normalised(scores + middle[:, None] * centred), levels_L) < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return normalised(scores + low[:, None] * centred)


def normalised(scores: FloatArray) -> FloatArray:
    """Softmax over the last axis."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)
