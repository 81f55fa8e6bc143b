"""A method's scores as log-probabilities over the catalogue, kept on disk: a method scores a case once."""

from __future__ import annotations

import tempfile

import numpy as np
import numpy.typing as npt

from unimp.answer import Ranker
from unimp.data.histories import FloatArray, Histories

SCORES_AT_ONCE = 2**23
"""Entries of a [users, items] block."""


def users_at_once(num_items: int) -> int:
    return max(1, min(256, SCORES_AT_ONCE // num_items))


def log_probabilities(scores: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """[U, I] log-softmax, and [U] who was scored; a user with a score that is no number gets even odds."""
    scored = np.array([bool(np.isfinite(row).all()) for row in scores], dtype=np.bool_)
    values = np.where(scored[:, None], scores, 0.0).astype(np.float32)
    values -= values.max(axis=1, keepdims=True)
    values -= np.log(np.exp(values).sum(axis=1, keepdims=True))
    return values, scored


class ScoreStore:
    """Log-probabilities of all cases in a temporary file, [U, I] float32; gone with this object."""

    def __init__(self, ranker: Ranker, histories: Histories, num_items: int) -> None:
        shape = (len(histories), num_items)
        with tempfile.TemporaryFile() as file:  # the mapping outlives the open file, and takes it along
            self.values: npt.NDArray[np.float32] = np.memmap(file, np.float32, "w+", shape=shape)
        self.scored = np.ones(len(histories), dtype=np.bool_)
        step = users_at_once(num_items)
        for start in range(0, len(histories), step):
            block = np.asarray(ranker.score(histories.slice(start, start + step)), dtype=np.float32)
            stop = start + len(block)
            self.values[start:stop], self.scored[start:stop] = log_probabilities(block)
