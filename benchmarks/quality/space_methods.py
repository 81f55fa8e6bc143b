"""What `space.py` compares: ways to score pictures for a text, and texts for a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from unimp.data.histories import FloatArray, IntArray
from unimp.features.joint_space import ItemWords, JointSpace, fit_ridge, joined_terms, phrase_terms
from unimp.features.joint_training import JointTrainingConfig, contrast
from unimp.features.text import WORD, TermWeights, right_factors

WIDTH = 256
SEED = 0


@dataclass(frozen=True)
class Known:
    """The items that a method may learn from."""

    words: ItemWords
    descriptors: FloatArray
    """[P, E]."""
    pairs: IntArray
    """[N, 2] places of items that one user bought at most a few events apart."""
    spaces: dict[float, JointSpace] = field(default_factory=dict)
    """Closed forms by `l2`, each fitted once."""

    def closed(self, l2: float = 30.0) -> JointSpace:
        if l2 not in self.spaces:
            self.spaces[l2] = fit_ridge(self.words, self.descriptors, width=WIDTH, l2=l2)
        return self.spaces[l2]


class Method(Protocol):
    """Scores of held-out items."""

    def by_text(self, texts: list[str], descriptors_PE: FloatArray) -> FloatArray:
        """[texts, P] for items that are pictures alone."""
        ...

    def by_picture(self, descriptors_PE: FloatArray, items: ItemWords) -> FloatArray:
        """[P, items] for items that are texts alone."""
        ...


@dataclass(frozen=True)
class Placed:
    """By a `JointSpace`."""

    space: JointSpace

    def by_text(self, texts: list[str], descriptors_PE: FloatArray) -> FloatArray:
        return np.asarray(self.space.place_texts(texts) @ self.space.place_pictures(descriptors_PE).T)

    def by_picture(self, descriptors_PE: FloatArray, items: ItemWords) -> FloatArray:
        return np.asarray(self.space.place_pictures(descriptors_PE) @ self.space.place_items(items).T)


@dataclass(frozen=True)
class Neighbours:
    """A text stands for the pictures of the known items whose texts are nearest, and the other way round."""

    terms: TermWeights
    texts: Any
    """CSR unit rows of the known items."""
    pictures: FloatArray
    """Unit rows of the known items."""
    space: JointSpace
    """Its whitening alone."""
    count: int

    @classmethod
    def fit(cls, known: Known, count: int) -> Neighbours:
        space = known.closed()
        texts = space.terms.unit([joined_terms(values) for values in known.words])
        return cls(space.terms, texts, space.place_pictures(known.descriptors), space, count)

    def by_text(self, texts: list[str], descriptors_PE: FloatArray) -> FloatArray:
        asked = self.terms.unit([phrase_terms(WORD.findall(text.lower())) for text in texts])
        nearest = np.argsort(-(asked @ self.texts.T).toarray(), axis=1, kind="stable")[:, : self.count]
        return np.asarray(self.pictures[nearest].mean(axis=1) @ self.space.place_pictures(descriptors_PE).T)

    def by_picture(self, descriptors_PE: FloatArray, items: ItemWords) -> FloatArray:
        likeness = self.space.place_pictures(descriptors_PE) @ self.pictures.T
        nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : self.count]
        chosen = np.zeros_like(likeness)
        np.put_along_axis(chosen, nearest, 1.0, axis=1)
        described = np.asarray(chosen @ self.texts.toarray())
        held = self.terms.unit([joined_terms(values) for values in items])
        return np.asarray((held @ described.T).T)


def fit_cca(known: Known, shrink: float, most: int) -> JointSpace:
    """Regularised canonical correlation (Hotelling 1936; Vinod 1976) of TF-IDF's leading factors and
    descriptors, directions weighted by the root of their correlation; as a `JointSpace`."""
    start = known.closed()
    texts = start.terms.unit([joined_terms(values) for values in known.words])
    factors = right_factors(texts, min(WIDTH, min(texts.shape) - 1))
    x, y = np.asarray(texts @ factors), start.place_pictures(known.descriptors)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    left, right = whitening(x, shrink), whitening(y, shrink)
    u, correlations, vt = np.linalg.svd(left @ (x.T @ y / len(x)) @ right)
    scale = np.sqrt(correlations[:most])
    words = factors @ (left @ u[:, :most] * scale)
    pictures = right @ vt[:most].T * scale
    return JointSpace(
        start.terms,
        words.astype(np.float32),
        start.mean_E,
        start.directions_ED,
        pictures.astype(np.float32),
    )


def whitening(x: FloatArray, shrink: float) -> FloatArray:
    """Inverse root of the covariance, with `shrink` times its mean eigenvalue added."""
    covariance = x.T @ x / len(x)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors / np.sqrt(values + shrink * values.mean()) @ vectors.T)


def fit_method(name: str, known: Known, setting: dict[str, Any]) -> Method:
    """A method by its name in the table."""
    if name == "neighbours":
        return Neighbours.fit(known, setting["count"])
    if name == "CCA":
        return Placed(fit_cca(known, setting["shrink"], setting["most"]))
    if name == "ridge":
        return Placed(known.closed(setting["l2"]))
    config = JointTrainingConfig(**{key: value for key, value in setting.items() if key != "l2"})
    closed = known.closed(setting["l2"])
    return Placed(contrast(closed, known.words, known.descriptors, config, seed=SEED, pairs_N2=known.pairs))
