"""Exact ranking: one forward pass and one matrix product score every item of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from unimp.answer import Query
from unimp.data.histories import FloatArray, Histories
from unimp.inference.decoder import Decoder
from unimp.inference.prefix import HistoryKey
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.reading import DeferredSentence, Write, hidden_after, hidden_at_end
from unimp.inference.score_sources import FusionWeights, ScoreSources
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Template

COLD_SHARE = 1e-3
"""What the model's log-probability counts beside log popularity when there is no history and no query."""

SAME_PICTURE = 0.9995
"""Cosine of two pictures' vectors from which on they are one picture, read again."""
LIKE_PICTURES = 32.0
"""Weight of the likeness to a catalogue picture that was shown; the middle of what validation tries."""


class NextItemQuestion(Protocol):
    """The task whose question an item answers; satisfied by `RecommendationTask`."""

    name: ClassVar[str]
    words: ClassVar[str]
    template: Template

    def question(self, histories: Histories, user: int, *, known: int | None = None) -> UserSentence:
        """The sentence after which the next item comes; `known` as in `Task.begin_question`."""


class QueryQuestion(Protocol):
    """The same with a query; satisfied by `SearchTask`."""

    name: ClassVar[str]
    words: ClassVar[str]
    template: Template

    def question(
        self, histories: Histories, user: int, query: Query, *, known: int | None = None
    ) -> UserSentence:
        """The sentence after which the item comes that answers the query."""


@dataclass
class ModelRanker(Decoder):
    """Scores of UniMP: log p(item | sentence) + Σ weight · score of a source (satisfies `Ranker`).

    The mixture is that of nearest-neighbour language models (Khandelwal et al. 2020), in the logits.
    """

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    task: NextItemQuestion
    sources: ScoreSources
    fusion_weights: FusionWeights = field(default_factory=FusionWeights)
    cache: PrefixCache | None = None
    """Of the users that `Histories.user_ids` names; None reads every history anew."""

    def log_probabilities(self, histories: Histories) -> FloatArray:
        """[U, I] the model alone."""
        writes = [partial(self.task.question, histories, user) for user in range(len(histories))]
        hidden_UD = hidden_behind(self, histories, writes)
        return log_probabilities_at(self.model, self.state, hidden_UD)

    def score(self, histories: Histories) -> FloatArray:
        """[U, I], higher is better; without a history popularity decides, the model among equals."""
        return self.sources.hide_removed(self.mixed(self.log_probabilities(histories), histories))

    def mixed(self, scores: FloatArray, histories: Histories) -> FloatArray:
        """[U, I] the model's log-probabilities with the sources' shares, in place; removed items too."""
        cold = histories.lengths == 0
        scores[cold] = np.log1p(self.sources.popularity) + COLD_SHARE * scores[cold]
        for name, share in self.fusion_weights.shares.items():
            scores += self.sources.score(name, share, histories)
        return scores


@dataclass
class ModelSearcher(Decoder):
    """Ranking with a query at the end of the history (satisfies `Searcher`)."""

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    task: QueryQuestion
    sources: ScoreSources
    fusion_weights: FusionWeights = field(default_factory=FusionWeights)
    cache: PrefixCache | None = None
    """Of the users that `Histories.user_ids` names; None reads every history anew."""

    def log_probabilities(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, I] the model alone."""
        writes = [partial(self.task.question, histories, user, query) for user, query in enumerate(queries)]
        hidden_UD = hidden_behind(self, histories, writes)
        return log_probabilities_at(self.model, self.state, hidden_UD)

    def lift_same_picture(self, scores_I: FloatArray, shown: int) -> None:
        """Put the item first whose own picture is the one in row `shown`; see `lift_same_picture`.

        Descriptors know a picture again that was cropped or compressed: then it is the nearest, however near.
        """
        least = -1.0 if self.model.described_pictures else SAME_PICTURE
        lift_same_picture(scores_I, self.sources.pictures, shown, least)

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, I], higher is better."""
        scores = self.mixed(self.log_probabilities(histories, queries), histories, queries)
        return self.sources.hide_removed(scores)

    def mixed(self, scores: FloatArray, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, I] the model's log-probabilities with the sources' shares, in place."""
        for name, share in self.fusion_weights.shares.items():
            scores += self.sources.score(name, share, histories, queries)
        return scores


def hidden_behind(
    ranking: ModelRanker | ModelSearcher, histories: Histories, writes: Sequence[Write]
) -> Tensor:
    """[U, D] where the answer to every sentence begins; with a cache, only what is new of it is written."""
    model, state, encoder, cache = ranking.model, ranking.state, ranking.encoder, ranking.cache
    if cache is None:
        return hidden_at_end(model, state, [encoder.encode(write()) for write in writes])
    task, config = ranking.task, ranking.task.template.config
    keys = [
        HistoryKey.latest(histories, user, task.words, config.max_items, ratings=config.ratings)
        for user in range(len(writes))
    ]
    sentences = [DeferredSentence(key, write) for key, write in zip(keys, writes, strict=True)]
    return hidden_after(model, state, encoder, sentences, cache, histories.user_ids.tolist())


def lift_same_picture(
    scores_I: FloatArray, pictures_XD: FloatArray | None, shown: int, least: float = SAME_PICTURE
) -> None:
    """Where the picture in row `shown` is one of the catalogue's, put its item first, like items after it.

    Whoever shows an item's own picture asks for that item, whatever share validation gave to likeness.
    In place; several items with the same picture come together. `least`: cosine from which on two pictures
    are one.
    """
    if pictures_XD is None:
        return
    likeness = pictures_XD[: len(scores_I)] @ pictures_XD[shown]
    nearest = float(likeness.max(initial=-1.0))
    if nearest < least:
        return
    same = (likeness >= nearest - 1e-5) & np.isfinite(scores_I)  # what is hidden stays hidden
    if not same.any():
        return
    scores_I += np.float32(LIKE_PICTURES) * likeness
    scores_I[same] += scores_I.max() - scores_I[same].min() + 1.0


@torch.inference_mode()
def log_probabilities_at(model: UnimpModel, state: ItemState, hidden_ND: Tensor) -> FloatArray:
    """[N, I] log p(item) after each hidden state."""
    logits = model.item_logits(hidden_ND, state.table_ID)
    return np.asarray(torch.log_softmax(logits, dim=-1).cpu().numpy(), dtype=np.float32)
