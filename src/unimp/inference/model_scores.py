"""What the model alone says of items: hidden states behind sentences, and what they give items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.inference.prefix import HistoryKey
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.reading import DeferredSentence, Write, hidden_after, hidden_at_end
from unimp.inference.score_sources import POPULARITY, SourceWeight
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.template import Template


class AskedTask(Protocol):
    """What the keys of a user's cached history are made of."""

    @property
    def words(self) -> str: ...

    @property
    def template(self) -> Template: ...


class AsksModel(Protocol):
    """Who reads sentences with a model: `ModelRanker` and `ModelSearcher`."""

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    cache: PrefixCache | None

    @property
    def task(self) -> AskedTask: ...


def hidden_behind(ranking: AsksModel, histories: Histories, writes: Sequence[Write]) -> Tensor:
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


@torch.inference_mode()
def log_probabilities_at(model: UnimpModel, state: ItemState, hidden_ND: Tensor) -> FloatArray:
    """[N, I] log p(item) after each hidden state."""
    logits = model.item_logits(hidden_ND, state.table_ID)
    return np.asarray(torch.log_softmax(logits, dim=-1).cpu().numpy(), dtype=np.float32)


@torch.inference_mode()
def logits_of(model: UnimpModel, state: ItemState, hidden_D: Tensor, rows: IntArray) -> FloatArray:
    """[N] the model's scores of these items after one hidden state; `log_probabilities_at` but a constant."""
    vectors_ND = state.table_ID[torch.from_numpy(rows).to(state.table_ID.device)]
    logits_1N = model.item_logits(hidden_D[None], vectors_ND)
    return np.array(logits_1N[0].float().cpu().numpy(), dtype=np.float32)


@torch.inference_mode()
def direction(model: UnimpModel, hidden_D: Tensor) -> FloatArray:
    """[D] whose inner product with an item's vector is the model's score."""
    scaled_1D = model.item_logits(hidden_D[None], torch.eye(len(hidden_D)).to(hidden_D))
    return np.asarray(scaled_1D[0].float().cpu().numpy(), dtype=np.float32)


def popularity_weight(shares: Mapping[str, SourceWeight]) -> float:
    """What log popularity counts; 0 where it does not."""
    return shares[POPULARITY].weight if POPULARITY in shares else 0.0
