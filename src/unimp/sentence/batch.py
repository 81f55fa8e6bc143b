"""`Batch`: sentences of similar length side by side, and the pictures they may see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unimp.sentence.encoder import EncodedSentence, Kind
from unimp.sentence.entries import Entries
from unimp.sentence.parts import Role
from unimp.sentence.views import PictureView, picture_views


@dataclass(frozen=True)
class Batch:
    """B sentences of at most T positions, right-padded; causal attention makes a padding mask needless."""

    items: Tensor
    """[B, T] item row, -1 elsewhere; -2 - g for query item g of the batch."""
    tokens: Tensor
    """[N] tokens of all bags."""
    token_positions: Tensor
    """[N] flat position of each token."""
    token_shares: Tensor
    """[N] 1 / size of its bag."""
    lengths: Tensor
    """[B] positions in use."""
    query_text: Tensor | None
    """[G, F] text content of the query items; None when they have none."""
    query_pictures: Tensor
    """[G] rows of their pictures, -1 for none."""
    read: Tensor
    """[B, T] bool: items of the history, and queries; not those that are shown as candidates."""
    picture_rows: Tensor
    """[P] rows of the pictures in this batch, each once."""
    views: tuple[PictureView, ...]

    @property
    def num_positions(self) -> int:
        return int(self.lengths.sum())

    def to(self, device: torch.device) -> Self:
        if device.type == "cpu":
            return self
        return changed(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Self:
        """In memory that a CUDA device reads while it computes."""
        return changed(self, Tensor.pin_memory)


Noun = TypeVar("Noun")


def changed(nouns: Noun, change: Callable[[Tensor], Tensor]) -> Noun:
    """The same dataclass with its tensors changed, those of the dataclasses within it too."""
    changes: dict[str, Any] = {}
    for field in fields(nouns):  # type: ignore[arg-type]
        value = getattr(nouns, field.name)
        if isinstance(value, Tensor):
            changes[field.name] = change(value)
        elif is_dataclass(value):
            changes[field.name] = changed(value, change)
        elif isinstance(value, tuple):
            changes[field.name] = tuple(changed(view, change) for view in value)
    return replace(nouns, **changes)  # type: ignore[type-var]


@dataclass(frozen=True)
class Layout:
    """Where the entries of sentences stand in a batch."""

    entries: Entries
    flat: npt.NDArray[np.int64]
    """Position of every real entry among all B x T."""
    lengths: npt.NDArray[np.int64]
    """[B] positions in use."""

    @classmethod
    def of(cls, sentences: Sequence[EncodedSentence]) -> Layout:
        lengths = np.array([len(sentence) for sentence in sentences])
        width = int(lengths.max())
        flat = np.concatenate([row * width + np.arange(length) for row, length in enumerate(lengths)])
        return cls(Entries.of(sentences), flat, lengths)

    @property
    def width(self) -> int:
        return int(self.lengths.max())


def collate(sentences: Sequence[EncodedSentence]) -> Batch:
    """Lay encoded sentences side by side."""
    return batch_of(sentences, Layout.of(sentences))


def batch_of(sentences: Sequence[EncodedSentence], layout: Layout) -> Batch:
    """The batch of sentences whose `layout` is known."""
    entries, flat = layout.entries, layout.flat
    shape = (len(sentences), layout.width)
    items = np.full(shape, -1, dtype=np.int64)
    items.reshape(-1)[flat] = entries.items
    is_read = np.zeros(shape, dtype=np.bool_)
    is_read.reshape(-1)[flat] = (entries.kinds == Kind.ITEM) & (entries.roles != Role.SHOWN) | (
        (entries.items <= -2) & (entries.kinds == Kind.FRAME)
    )
    bag_shares = 1.0 / np.maximum(entries.bag_sizes, 1)
    query_items = [query_item for sentence in sentences for query_item in sentence.query_items]
    texts = [query_item.text for query_item in query_items if query_item.text is not None]
    picture_rows, views = picture_views(entries, flat, layout.width)
    return Batch(
        items=torch.from_numpy(items),
        tokens=torch.from_numpy(entries.tokens),
        token_positions=torch.from_numpy(np.repeat(flat, entries.bag_sizes)),
        token_shares=torch.from_numpy(np.repeat(bag_shares, entries.bag_sizes).astype(np.float32)),
        lengths=torch.from_numpy(layout.lengths),
        query_text=torch.from_numpy(np.stack(texts)) if texts else None,
        query_pictures=torch.tensor([query_item.picture for query_item in query_items], dtype=torch.int64),
        read=torch.from_numpy(is_read),
        picture_rows=torch.from_numpy(picture_rows),
        views=views,
    )
