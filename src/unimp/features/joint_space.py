"""`JointSpace`: texts and pictures of a catalogue as vectors of one space, so that each finds the other.

A picture's descriptor is centred, its principal directions are partly whitened, and a matrix places it. A
text is the sum of its words' and word pairs' vectors, each by how rare it is. The closed form of `fit_ridge`
gives the words' vectors by ridge regression on the pictures; `joint_training.contrast` trains both sides on.
"""

# N texts, P pictures, W words and word pairs, E width of a descriptor, K width of the space

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from unimp.core.errors import CheckpointError, DataError
from unimp.core.files import read_tensors, write_tensors
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import FloatArray
from unimp.features.cache import FeatureCache
from unimp.features.text import WORD, TermWeights, unit_rows

SHORT = 4
"""Words of an attribute's value up to which it is also a text of its own: queries are short."""
MOST_TERMS = 8192
"""Words and word pairs at most, the most frequent ones: the closed form solves a system of that size."""
WIDTH, L2, LEAST = 256, 10.0, 3
"""Of the closed form: principal directions at most, the ridge, and items that a term needs."""
ItemWords = list[list[list[str]]]
"""Of every item, of every attribute that it has, the words in order."""


def attribute_words(catalog: Catalog, attributes: Sequence[Attribute] | None = None) -> ItemWords:
    """[I] the lower-case words of each attribute that is not a number; of all attributes, or those given."""
    found: ItemWords = [[] for _ in range(len(catalog))]
    for attribute in catalog.attributes if attributes is None else attributes:
        if attribute.kind == "number":
            continue
        for own, text in zip(found, catalog.texts[attribute.name], strict=True):
            if words := WORD.findall((text or "").lower()):
                own.append(words)
    return found


def phrase_terms(words: list[str]) -> list[str]:
    """The words, and each two that follow each other."""
    return [*words, *(f"{first} {second}" for first, second in pairwise(words))]


def joined_terms(values: list[list[str]]) -> list[str]:
    """Words and word pairs of some attributes' values; no pair reaches from one value into the next."""
    return [term for words in values for term in phrase_terms(words)]


def fit_terms(items: ItemWords, least: int, most: int = MOST_TERMS) -> TermWeights:
    """The `most` frequent terms that at least `least` of these items have, and not all; DataError when there
    is none."""
    counts = Counter(term for values in items for term in set(joined_terms(values)))
    shared = [(term, count) for term, count in counts.items() if least <= count < len(items)]
    if not shared:
        raise DataError(f"joint space: no word is in {least} of the items that have a picture and a text")
    shared = sorted(sorted(shared, key=lambda found: (-found[1], found[0]))[:most])
    idf = np.log(len(items) / np.array([count for _, count in shared])).astype(np.float32)
    return TermWeights({term: column for column, (term, _) in enumerate(shared)}, idf)


@dataclass(frozen=True)
class JointSpace:
    """Places texts and pictures; the dot product of two unit vectors says how well they go together."""

    terms: TermWeights
    words_WK: FloatArray
    mean_E: FloatArray
    """Of the descriptors that it was fitted on."""
    directions_ED: FloatArray
    """Their principal directions, partly whitened; D = K."""
    pictures_DK: FloatArray

    def place_texts(self, texts: Sequence[str]) -> FloatArray:
        """[N, K] unit rows; zeros for a text without a known word."""
        return self.place_terms([phrase_terms(WORD.findall(text.lower())) for text in texts])

    def place_items(self, items: ItemWords) -> FloatArray:
        """[N, K] unit rows of items by their words alone; zeros without a known word."""
        return self.place_terms([joined_terms(values) for values in items])

    def place_terms(self, terms: list[list[str]]) -> FloatArray:
        """[N, K] unit rows, or zeros."""
        return unit_rows(np.asarray(self.terms.weigh(terms) @ self.words_WK, dtype=np.float32))

    def place_pictures(self, descriptors_PE: FloatArray) -> FloatArray:
        """[P, K] unit rows."""
        return unit_rows(np.asarray(self.whitened(descriptors_PE) @ self.pictures_DK, dtype=np.float32))

    def whitened(self, descriptors_PE: FloatArray) -> FloatArray:
        """[P, D] unit rows of the partly whitened directions."""
        return whitened_rows(descriptors_PE, self.mean_E, self.directions_ED)

    @classmethod
    def of_arrays(cls, found: Mapping[str, FloatArray], terms: Sequence[str]) -> JointSpace:
        """The space of `arrays`; `terms` in the order of their columns."""
        weights = TermWeights({term: column for column, term in enumerate(terms)}, found["idf"])
        return cls(weights, found["words"], found["mean"], found["directions"], found["pictures"])

    def arrays(self) -> dict[str, FloatArray]:
        """Its state beside the vocabulary."""
        return {
            "idf": self.terms.idf,
            "words": self.words_WK,
            "mean": self.mean_E,
            "directions": self.directions_ED,
            "pictures": self.pictures_DK,
        }


def partly_whitened(descriptors_PE: FloatArray, width: int) -> tuple[FloatArray, FloatArray]:
    """(mean, [E, D] principal directions, each divided by the root of its deviation), D ≤ `width`."""
    mean_E = descriptors_PE.mean(axis=0)
    centred_PE = descriptors_PE - mean_E
    count, wide = centred_PE.shape
    # the smaller of the two products has the same eigenvalues, and costs less
    product = centred_PE @ centred_PE.T if count < wide else centred_PE.T @ centred_PE
    spread, vectors = np.linalg.eigh(product)
    kept = min(width, int((spread > 1e-6 * spread[-1]).sum()))
    spread_D, vectors = spread[-kept:][::-1], vectors[:, -kept:][:, ::-1]
    directions_ED = centred_PE.T @ vectors / np.sqrt(spread_D) if count < wide else vectors
    signs_D = np.sign(directions_ED[np.abs(directions_ED).argmax(axis=0), np.arange(kept)])
    deviations_D = np.sqrt(spread_D / count)
    return mean_E, np.asarray(directions_ED * signs_D / np.sqrt(deviations_D), dtype=np.float32)


def whitened_rows(descriptors_PE: FloatArray, mean_E: FloatArray, directions_ED: FloatArray) -> FloatArray:
    return unit_rows(np.asarray((descriptors_PE - mean_E) @ directions_ED, dtype=np.float32))


def fit_ridge(
    items: ItemWords,
    descriptors_PE: FloatArray,
    *,
    width: int = WIDTH,
    l2: float = L2,
    least: int = LEAST,
    most_terms: int = MOST_TERMS,
) -> JointSpace:
    """The closed form: texts regressed on the pictures of their items (Hoerl & Kennard 1970).

    `items`, `descriptors_PE`: words and picture of the same P items. An item's whole text and each of its
    short values by itself are rows of the regression. DataError when too few items share a word, or
    all pictures look the same.
    """
    if not np.ptp(descriptors_PE, axis=0).any():
        raise DataError("joint space: all pictures look the same")
    terms = fit_terms(items, least, most_terms)
    mean_E, directions_ED = partly_whitened(descriptors_PE, width)
    shown_PD = whitened_rows(descriptors_PE, mean_E, directions_ED)
    texts, owners = text_rows(items)
    rows: Any = terms.unit(texts)
    system_WW = (rows.T @ rows).toarray() + np.float32(l2) * np.eye(len(terms.idf), dtype=np.float32)
    words_WD = np.linalg.solve(system_WW, np.asarray(rows.T @ shown_PD[owners]))
    identity = np.eye(shown_PD.shape[1], dtype=np.float32)
    return JointSpace(terms, words_WD.astype(np.float32), mean_E, directions_ED, identity)


def text_rows(items: ItemWords) -> tuple[list[list[str]], np.ndarray]:
    """Terms of every item's whole text, then of its short values, and the item that each belongs to."""
    texts, owners = [joined_terms(values) for values in items], list(range(len(items)))
    for place, values in enumerate(items):
        short = [phrase_terms(words) for words in values if len(words) <= SHORT]
        texts.extend(short)
        owners.extend([place] * len(short))
    return texts, np.array(owners, dtype=np.int64)


def fitted_once(
    cache: FeatureCache,
    identity: str,
    items: ItemWords,
    descriptors_PE: FloatArray,
    fit: Callable[[], JointSpace],
) -> JointSpace:
    """The space that `fit` returns, or what an earlier run left in the cache for the same words and pictures.

    `identity` names the settings of `fit`.
    """
    digest = hashlib.sha256(f"{identity}\n{items}".encode())
    digest.update(np.ascontiguousarray(descriptors_PE).tobytes())
    path = cache.folder / f"{digest.hexdigest()[:24]}.space.safetensors"
    with suppress(CheckpointError):
        tensors, facts = read_tensors(path)
        return JointSpace.of_arrays({n: tensor.numpy() for n, tensor in tensors.items()}, facts["terms"])
    space = fit()
    with suppress(CheckpointError, OSError):  # costs the time again, never the run
        cache.folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in space.arrays().items()
        }
        write_tensors(path, tensors, {"terms": list(space.terms.vocabulary)})
    return space
