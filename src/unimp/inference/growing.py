"""The item side of a trained model while its catalogue grows: vectors, pictures, and what is mixed in."""

# I items, N put at once, D width, V visual tokens per picture, E visual width, F width of the text block

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.item_graph import ItemGraph, user_item_matrix
from unimp.features.text import WORD, WordMatch
from unimp.model.inputs import ItemInputs, ItemState
from unimp.model.unimp import UnimpModel


class GrowingRows:
    """Rows of a tensor. Room is doubled, so that putting costs what is put, not what is there.

    The tensor it begins with is never written to.
    """

    def __init__(self, first: Tensor) -> None:
        self.buffer, self.count, self.own = first, len(first), False

    def put(self, rows: Tensor, values: Tensor) -> None:
        """Rows past the last one are added; those that are named nowhere are zeros."""
        needed = max(self.count, int(rows.max()) + 1)
        if needed > len(self.buffer) or not self.own:
            grown = self.buffer.new_zeros(max(needed, len(self.buffer) * 3 // 2), *self.buffer.shape[1:])
            grown[: self.count] = self.buffer[: self.count]
            self.buffer, self.own = grown, True
        self.buffer[rows] = values.to(self.buffer.dtype)
        self.count = needed

    @property
    def rows(self) -> Tensor:
        return self.buffer[: self.count]


@dataclass(frozen=True)
class PutItems:
    """What is known of N items beside their texts."""

    rows: IntArray
    """[N] each once."""
    text_NF: FloatArray | None
    visual: Mapping[int, Tensor]
    """Row -> [V, E] visual tokens of its new picture; rows without one keep what they have."""


class GrowingState:
    """`ItemState` of a model whose items are changed and followed by new ones.

    A new item has identity 0: it is known by its content alone. One that training knew keeps its identity
    and what the log told of it.
    """

    def __init__(self, model: UnimpModel, items: ItemInputs, state: ItemState) -> None:
        self.model, self.items, self.first = model, items, state
        self.table = GrowingRows(state.table_ID)
        self.visual = None if state.visual_IVE is None else GrowingRows(state.visual_IVE)
        self.pictures = None if state.pictures_ID is None else GrowingRows(state.pictures_ID)

    @property
    def state(self) -> ItemState:
        return replace(
            self.first,
            table_ID=self.table.rows,
            visual_IVE=None if self.visual is None else self.visual.rows,
            pictures_ID=None if self.pictures is None else self.pictures.rows,
        )

    @torch.inference_mode()
    def put(self, put: PutItems) -> ItemState:
        """The state from now on; states handed out before must not be read any more."""
        device = self.table.buffer.device
        rows_N = torch.from_numpy(put.rows).to(device)
        self._put_pictures(rows_N, put.visual)
        vectors_ND = self._trained_parts(rows_N)
        if put.text_NF is not None:
            text_NF = torch.from_numpy(put.text_NF).to(device)
            vectors_ND = vectors_ND + self.model.items.known_by_content({"text": text_NF})
        if self.pictures is not None:
            vectors_ND = vectors_ND + self.pictures.rows[rows_N]
        self.table.put(rows_N, vectors_ND)
        return self.state

    def _put_pictures(self, rows_N: Tensor, visual: Mapping[int, Tensor]) -> None:
        if self.visual is None:
            return
        missing_N = rows_N[rows_N >= self.visual.count]
        if len(missing_N):  # rows of their own, in all tables, for items without a picture too
            self.visual.put(
                missing_N, self.visual.buffer.new_zeros(len(missing_N), *self.visual.buffer.shape[1:])
            )
            if self.pictures is not None:
                empty = self.pictures.buffer.new_zeros(len(missing_N), self.pictures.buffer.shape[1])
                self.pictures.put(missing_N, empty)
        if not visual:
            return
        shown_P = torch.tensor(list(visual), device=rows_N.device)
        tokens_PVE = torch.stack(list(visual.values())).to(self.visual.buffer)
        self.visual.put(shown_P, tokens_PVE)
        if self.pictures is not None:
            present_P = torch.ones(len(shown_P), dtype=torch.bool, device=rows_N.device)
            pooled = self.model.pooled_pictures(tokens_PVE, present_P)
            self.pictures.put(shown_P, self.model.items.known_by_content({"picture": pooled}))

    def _trained_parts(self, rows_N: Tensor) -> Tensor:
        """[N, D] identity, and content that only training could know; 0 for a new item."""
        identity = self.model.items.identity.weight
        known_N = rows_N < len(identity)
        places_N = rows_N.clamp(max=len(identity) - 1)
        vectors_ND = identity[places_N]
        kept = {n: block[places_N] for n, block in self.items.content.items() if n not in {"text", "picture"}}
        if kept:
            vectors_ND = vectors_ND + self.model.items.known_by_content(kept)
        return vectors_ND * known_N.unsqueeze(-1)


class GrowingText:
    """Text content of all items, and which of them were put after training."""

    def __init__(self, content_IF: FloatArray) -> None:
        self.content = GrowingRows(torch.from_numpy(content_IF))
        self.put_rows: IntArray = np.empty(0, dtype=np.int64)
        """In rising order."""

    def put(self, rows: IntArray, text_NF: FloatArray) -> None:
        self.content.put(torch.from_numpy(rows), torch.from_numpy(text_NF))
        self.put_rows = np.union1d(self.put_rows, rows)

    @property
    def content_IF(self) -> FloatArray:
        values: FloatArray = self.content.rows.numpy()
        return values


class GrowingWordMatch(WordMatch):
    """The trained catalogue's words, and over them those of what was put since."""

    MOST_PARTS = 16

    def __init__(self, trained: WordMatch) -> None:
        super().__init__(trained.projector, trained.catalog)
        self.trained = trained
        self.parts: list[tuple[IntArray, Any]] = []
        """Rows, and [N, words] their unit rows; a later part counts before an earlier one."""
        self.num_items = 0

    def put(self, rows: IntArray, terms: list[list[str]]) -> None:
        self.parts.append((rows, self.unit_rows(terms)))
        self.num_items = max(self.num_items, int(rows.max()) + 1)
        if len(self.parts) > self.MOST_PARTS:
            together = np.concatenate([part[0] for part in self.parts])
            latest = len(together) - 1 - np.unique(together[::-1], return_index=True)[1]
            self.parts = [(together[latest], sp.vstack([part[1] for part in self.parts]).tocsr()[latest])]

    def score(self, texts: Sequence[str]) -> FloatArray:
        scores = self.trained.score(texts)
        if not self.parts:
            return scores
        scores = padded(scores, max(self.num_items, scores.shape[1]))
        asked = self.unit_rows([WORD.findall(text.lower()) for text in texts])
        for rows, words in self.parts:
            scores[:, rows] = (asked @ words.T).toarray()
        return scores


@dataclass(frozen=True)
class GrowingLog(ItemGraph):
    """What the log said: nothing about items that it did not hold."""

    num_rows: int

    def score(self, histories: Histories, recency: float = 1.0) -> FloatArray:
        known = self.weights.shape[0]
        if self.num_rows == known:
            return super().score(histories, recency)
        users = user_item_matrix(histories, self.num_rows, recency)[:, :known]
        scores = users @ self.weights
        dense = scores if isinstance(scores, np.ndarray) else scores.toarray()
        return padded(np.asarray(dense, dtype=np.float32), self.num_rows)


@dataclass(frozen=True)
class GrowingContentGraph(ItemGraph):
    """Likeness of content: as it was counted in training among untouched items, anew where one was put."""

    num_rows: int
    text: GrowingText
    threshold: float
    neighbours: int

    def score(self, histories: Histories, recency: float = 1.0) -> FloatArray:
        put = self.text.put_rows
        if not len(put):
            return super().score(histories, recency)
        known = self.weights.shape[0]
        users = user_item_matrix(histories, self.num_rows, recency)
        old = users[:, :known].tocsc(copy=True)
        for row in put[put < known].tolist():
            old.data[old.indptr[row] : old.indptr[row + 1]] = 0.0
        scores = padded((old @ self.weights).toarray(), self.num_rows)
        scores[:, put] = 0.0
        met = np.unique(histories.item_rows)
        scores[:, put] += users[:, met] @ self._likeness(met, put)
        changed = met[np.isin(met, put)]
        if len(changed):
            near = self._nearest(changed)
            near[:, put] = 0.0
            scores += users[:, changed] @ near
        return np.asarray(scores, dtype=np.float32)

    def _likeness(self, rows: IntArray, others: IntArray) -> FloatArray:
        """[len(rows), len(others)] the cosine above the threshold, 0 of an item with itself."""
        content_IF = self.text.content_IF
        close = content_IF[rows] @ content_IF[others].T - np.float32(self.threshold)
        close[rows[:, None] == others[None]] = 0.0
        return np.asarray(np.maximum(close, 0.0), dtype=np.float32)

    def _nearest(self, rows: IntArray) -> FloatArray:
        """[len(rows), num_rows] the likeness of the nearest `neighbours` of each, else 0."""
        near = self._likeness(rows, np.arange(self.num_rows))
        if self.neighbours < self.num_rows:
            least = -np.partition(-near, self.neighbours - 1, axis=1)[:, self.neighbours - 1]
            near[near < least[:, None]] = 0.0
        return near


def padded(scores: FloatArray, num_items: int) -> FloatArray:
    """[U, num_items] zeros at the end."""
    wide = np.zeros((len(scores), num_items), dtype=np.float32)
    wide[:, : scores.shape[1]] = scores
    return wide
