"""Item text by a pretrained sentence encoder, alone or beside TF-IDF; queries go the same way."""

# I items, N texts, E width of the encoder, F width that is kept

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from unimp.core.progress import progress_bar
from unimp.core.weights import Weights, find_same_weights
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import FloatArray
from unimp.features.cache import FeatureStore, HalfArray, content_key
from unimp.features.encoders import open_text
from unimp.features.reduction import Reduction
from unimp.features.sentence_model import SentenceModel
from unimp.features.text import ContentConfig, TextProjector, unit_rows

KEY = "content.encoder"


class TextEncoder(Protocol):
    """Places items and free texts in one space."""

    def project(
        self,
        catalog: Catalog,
        rows: Sequence[int] | None = None,
        attributes: Sequence[Attribute] | None = None,
    ) -> FloatArray:
        """[I, F] rows of unit length, or zeros; of all items and attributes, or of those given."""
        ...

    def project_texts(self, texts: Sequence[str]) -> FloatArray:
        """[N, F] in the same space."""
        ...


class SentenceSource:
    """Which sentence encoder; it is opened when a text is met that the cache does not hold."""

    def __init__(self, name: str, identity: str | None = None) -> None:
        self.name, self.wanted = name, identity

    @cached_property
    def weights(self) -> Weights:
        """ConfigError or MissingExtra when they are not here, CheckpointError when they are others."""
        return find_same_weights(self.name, KEY, self.wanted, "the items were encoded")

    @cached_property
    def model(self) -> SentenceModel:
        return open_text(self.weights)

    def embed_items(self, texts: Sequence[str], *, show: bool = False) -> FloatArray:
        """[N, E] through the cache; an empty text is all zeros."""
        keys = [content_key(text.encode()) if text else None for text in texts]
        if not any(keys):
            return np.zeros((len(texts), self.model.width), dtype=np.float32)
        with progress_bar("encoding texts", len(texts), show=show) as bar:

            def make(rows: list[int]) -> HalfArray:
                vectors = self.model.embed([texts[row] for row in rows])
                bar.advance(len(rows), note=f"{2 * vectors.shape[1]:,} bytes an item")
                return vectors.astype(np.float16)

            found = FeatureStore.of(self.weights.identity).get_or_make(keys, make)
        return found.astype(np.float32)


@dataclass(frozen=True)
class SentenceProjector:
    """A sentence encoder's vectors, less what all items share, along their main directions."""

    source: SentenceSource
    mean: FloatArray
    """[E]."""
    components: FloatArray
    """[F, E]."""

    def project(
        self,
        catalog: Catalog,
        rows: Sequence[int] | None = None,
        attributes: Sequence[Attribute] | None = None,
    ) -> FloatArray:
        """As `TextEncoder`; the whole catalogue goes through the cache, single items do not."""
        texts = item_sentences(catalog, rows, attributes)
        if rows is None and attributes is None:
            return self._reduced(self.source.embed_items(texts))
        return self.project_texts(texts)

    def project_texts(self, texts: Sequence[str]) -> FloatArray:
        known = np.array([bool(text.strip()) for text in texts], dtype=np.bool_)
        vectors = np.zeros((len(texts), len(self.mean)), dtype=np.float32)
        if known.any():
            vectors[known] = self.source.model.embed([text for text in texts if text.strip()])
        return self._reduced(vectors)

    def _reduced(self, vectors: FloatArray) -> FloatArray:
        told = vectors.any(axis=1, keepdims=True)
        reduced = np.asarray((vectors - self.mean) @ self.components.T, dtype=np.float32)
        return np.asarray(unit_rows(reduced) * told, dtype=np.float32)


@dataclass(frozen=True)
class JointText:
    """Two spaces side by side, each with half of the squared length."""

    words: TextProjector
    sentences: SentenceProjector

    def project(
        self,
        catalog: Catalog,
        rows: Sequence[int] | None = None,
        attributes: Sequence[Attribute] | None = None,
    ) -> FloatArray:
        words = self.words.project(catalog, rows, attributes)
        return self._joined(words, self.sentences.project(catalog, rows, attributes))

    def project_texts(self, texts: Sequence[str]) -> FloatArray:
        return self._joined(self.words.project_texts(texts), self.sentences.project_texts(texts))

    def _joined(self, words: FloatArray, sentences: FloatArray) -> FloatArray:
        return np.concatenate((words, sentences), axis=1) * np.float32(0.5**0.5)


def joint_text(words: TextProjector | None, sentences: SentenceProjector | None) -> TextEncoder | None:
    """What there is, as one encoder."""
    if words is not None and sentences is not None:
        return JointText(words, sentences)
    return words or sentences


def fit_sentences(catalog: Catalog, config: ContentConfig, *, show: bool = False) -> SentenceProjector | None:
    """Mean and directions of the catalogue's texts; None when the recipe names no encoder."""
    if not config.encoder:
        return None
    source = SentenceSource(config.encoder)
    vectors = source.embed_items(item_sentences(catalog), show=show)
    told = vectors[vectors.any(axis=1)]
    sample = told if len(told) else vectors
    reduction = Reduction.fit(torch.from_numpy(sample), config.encoder_width or vectors.shape[1])
    return SentenceProjector(source, reduction.mean_E.numpy(), reduction.weight_FE.numpy())


def item_sentences(
    catalog: Catalog, rows: Sequence[int] | None = None, attributes: Sequence[Attribute] | None = None
) -> list[str]:
    """Items as one text each, the title first, numbers left out; empty where nothing is known.

    All of the catalogue's items and attributes, or those given.
    """
    chosen = range(len(catalog)) if rows is None else rows
    known = catalog.attributes if attributes is None else attributes
    worded = [attribute.name for attribute in known if attribute.kind != "number"]
    columns = [catalog.texts[name] for name in sorted(worded, key=lambda name: name != catalog.title)]
    return [". ".join(text for column in columns if (text := column[row])) for row in chosen]
