"""The logit's choices: the target, every near item, and a few far ones that stand for all the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unimp.data.histories import Cases, FloatArray, IntArray
from unimp.fusion.features import Features
from unimp.fusion.history_view import HistoryView
from unimp.fusion.logit import SampledChoices
from unimp.fusion.probabilities import ScoreStore

NEAR, FAR = 200, 100


@dataclass(frozen=True)
class Scaling:
    """Mean and deviation of every feature over the sampled items."""

    mean: FloatArray
    deviation: FloatArray


def sample_choices(
    features: Features, cases: Cases, users: IntArray, scores: ScoreStore | None, *, exclude: bool, seed: int
) -> tuple[SampledChoices, Scaling]:
    """The choices of `users`, standardised. With `exclude`, items of the history are no alternatives.

    The sum over the catalogue that a conditional logit divides by is taken over the NEAR items by a plain sum
    of standardised means, exactly, and over FAR random ones of the rest, each standing for many: unbiased,
    and no score decides which items are missing from it.
    """
    random = np.random.default_rng([seed, 1])
    items = features.relations.num_items
    near, far = min(NEAR, items - 1), FAR
    table = np.zeros((len(users), 1 + near + far, len(features.names)), dtype=np.float32)
    offsets = np.full(table.shape[:2], -np.inf, dtype=np.float32)
    crude = [place for place, name in enumerate(features.names) if name.endswith(": mean") or name == "model"]
    for row, user in enumerate(users):
        past = HistoryView.of(cases.histories, user, features.relations.decay)
        values = features.catalogue(past, None if scores is None else scores.values[user])
        target = int(cases.target_rows[user])
        free = np.ones(items, dtype=np.bool_)
        free[target] = False
        if exclude:
            free[past.rows] = False
        rest = np.flatnonzero(free)
        rough = values[crude][:, rest]
        rough = ((rough - rough.mean(1, keepdims=True)) / (rough.std(1, keepdims=True) + 1e-6)).sum(axis=0)
        by_rough = rest[np.argsort(-rough, kind="stable")]
        close, distant = by_rough[:near], by_rough[near:]
        drawn = random.choice(distant, min(far, len(distant)), replace=False)
        chosen = np.concatenate([[target], close, drawn])
        table[row, : len(chosen)] = values[:, chosen].T
        offsets[row, : 1 + len(close)] = 0.0
        if len(drawn):
            offsets[row, 1 + len(close) : len(chosen)] = np.log(len(distant) / len(drawn))
    return standardised(table, offsets)


def standardised(table: FloatArray, offsets: FloatArray) -> tuple[SampledChoices, Scaling]:
    real = np.isfinite(offsets)
    mean = table[real].mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = table[real].std(axis=0, dtype=np.float64).astype(np.float32) + np.float32(1e-6)
    table -= mean
    table /= deviation
    table[~real] = 0.0
    return SampledChoices(table, offsets), Scaling(mean, deviation)
