"""`coordinate_search`: what each source of scores counts beside the model, chosen on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unimp.data.histories import Cases, FloatArray, Histories
from unimp.fusion.structure import StructureConfig
from unimp.inference.score_sources import PICTURE, POPULARITY, WORDS, FusionWeights, SourceWeight
from unimp.metrics.ranking import ranking_metrics, target_ranks

HEADLINE = "NDCG@5"
ROUNDS = 2
BATCH = 512


@dataclass(frozen=True)
class FittedWeights:
    """The weights of the sources, and the quality on validation after each step of the search."""

    fusion_weights: FusionWeights
    reached: dict[str, float]


def nothing_to_choose_by() -> FittedWeights:
    """No held-out case asks anything of this task: the model answers alone."""
    return FittedWeights(FusionWeights(), {"model alone": float("nan")})


def coordinate_search(
    alone: FloatArray,
    names: Sequence[str],
    unit: Callable[[str, float], FloatArray],
    quality: Callable[[FloatArray], float],
    config: StructureConfig,
) -> FittedWeights:
    """Shares with the best quality, found one source at a time, twice round.

    `unit`: scores of a source at weight 1 and a recency; `alone`: the model's own scores.
    """
    chosen: dict[str, SourceWeight] = {}
    best = quality(alone)
    reached = {"model alone": best}
    for turn in range(ROUNDS):
        for name in names:
            base = alone
            for other, share in chosen.items():
                if other != name:
                    base = base + np.float32(share.weight) * unit(other, share.recency)
            for recency in recencies(name, config):
                unit_scores = unit(name, recency)
                for weight in weights(name, config):
                    value = quality(base + np.float32(weight) * unit_scores)
                    if value > best:
                        best, chosen[name] = value, SourceWeight(weight=weight, recency=recency)
            reached[f"round {turn + 1}: {name}"] = best
    return FittedWeights(FusionWeights(shares=chosen), reached)


def recencies(name: str, config: StructureConfig) -> Sequence[float]:
    return (1.0,) if name in {POPULARITY, WORDS, PICTURE} else config.recencies


def weights(name: str, config: StructureConfig) -> Sequence[float]:
    return config.popularity_weights if name == POPULARITY else config.weights


def in_batches(cases: Cases, score: Callable[[Histories, int], FloatArray]) -> FloatArray:
    """[N, …] `score` of every batch of histories, told where the batch starts."""
    starts = range(0, len(cases), BATCH)
    return np.concatenate([score(cases.histories.slice(start, start + BATCH), start) for start in starts])


def ranking_quality(scores: FloatArray, cases: Cases) -> float:
    return ranking_metrics(target_ranks(scores, cases.target_rows))[HEADLINE]
