"""`coordinate_search`: what each source of scores counts beside the model, chosen on validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from unimp.data.histories import Cases, FloatArray
from unimp.fusion.structure import StructureConfig
from unimp.inference.score_sources import (
    CROSS_MODAL,
    PICTURE,
    POPULARITY,
    WORDS,
    FusionWeights,
    SourceWeight,
)
from unimp.metrics.ranking import ranking_metrics, score_bytes, target_ranks, users_at_a_time

HEADLINE = "NDCG@5"
ROUNDS = 2
BATCH = 512
KEPT = 8
"""Scores of the model alone are kept whole up to so many times the size of one matrix of scores."""
Shares = Mapping[str, SourceWeight]


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

    def qualities(chosen: Shares, name: str) -> list[float]:
        return [quality(scores) for scores in mixtures(alone, chosen, name, unit, config)]

    return search_shares(quality(alone), names, qualities, config)


def search_shares(
    alone: float,
    names: Sequence[str],
    qualities: Callable[[Shares, str], list[float]],
    config: StructureConfig,
) -> FittedWeights:
    """The search of `coordinate_search`; `qualities` of all `trials` of a source beside the other shares."""
    chosen: dict[str, SourceWeight] = {}
    best, reached = alone, {"model alone": alone}
    for turn in range(ROUNDS):
        for name in names:
            others = {other: share for other, share in chosen.items() if other != name}
            for trial, value in zip(trials(name, config), qualities(others, name), strict=True):
                if value > best:
                    best, chosen[name] = value, trial
            reached[f"round {turn + 1}: {name}"] = best
    return FittedWeights(FusionWeights(shares=chosen), reached)


def trials(name: str, config: StructureConfig) -> list[SourceWeight]:
    """What is tried of a source."""
    return [
        SourceWeight(weight=weight, recency=recency)
        for recency in recencies(name, config)
        for weight in weights(name, config)
    ]


def mixtures(
    alone: FloatArray,
    others: Shares,
    name: str,
    unit: Callable[[str, float], FloatArray],
    config: StructureConfig,
) -> Iterator[FloatArray]:
    """The scores of every trial of a source, in the order of `trials`."""
    base = alone
    for other, share in others.items():
        base = base + np.float32(share.weight) * unit(other, share.recency)
    for recency in recencies(name, config):
        one = unit(name, recency)
        for weight in weights(name, config):
            yield base + np.float32(weight) * one


@dataclass(frozen=True)
class RankingSearch:
    """Shares of the best NDCG@5 over the full catalogue, a block of cases at a time.

    The model's scores are kept where they are few, and made anew for every source where they are not.
    """

    cases: Cases
    num_items: int
    alone: Callable[[Cases, int], FloatArray]
    """[n, I] the model's scores of a block, which begins at that case."""
    unit: Callable[[str, float, Cases, int], FloatArray]
    """[n, I] (or [1, I]) scores of a source at weight 1 and a recency, of such a block."""

    def fit(self, names: Sequence[str], config: StructureConfig) -> FittedWeights:
        if len(self.cases) * self.num_items * 4 <= KEPT * score_bytes():
            kept = np.concatenate([self.alone(*block) for block in self.blocks(BATCH)])
            return coordinate_search(
                kept,
                names,
                lambda name, recency: self.unit(name, recency, self.cases, 0),
                lambda scores: ranking_quality(scores, self.cases),
                config,
            )
        alone = np.concatenate(
            [
                target_ranks(self.alone(block, start), block.target_rows)
                for block, start in self.blocks(users_at_a_time(self.num_items))
            ]
        )
        return search_shares(
            ranking_metrics(alone)[HEADLINE], names, partial(self._qualities, config), config
        )

    def blocks(self, size: int) -> Iterator[tuple[Cases, int]]:
        """The cases, `size` at a time, and where each block begins."""
        for start in range(0, len(self.cases), size):
            yield self.cases.select(np.arange(start, min(start + size, len(self.cases)))), start

    def _qualities(self, config: StructureConfig, others: Shares, name: str) -> list[float]:
        ranks = np.empty((len(trials(name, config)), len(self.cases)))
        for block, start in self.blocks(users_at_a_time(self.num_items)):

            def unit(source: str, recency: float, block: Cases = block, start: int = start) -> FloatArray:
                return self.unit(source, recency, block, start)

            tried = mixtures(self.alone(block, start), others, name, unit, config)
            for row, scores in enumerate(tried):
                ranks[row, start : start + len(block)] = target_ranks(scores, block.target_rows)
        return [ranking_metrics(row)[HEADLINE] for row in ranks]


def recencies(name: str, config: StructureConfig) -> Sequence[float]:
    return (1.0,) if name in {POPULARITY, WORDS, PICTURE, CROSS_MODAL} else config.recencies


def weights(name: str, config: StructureConfig) -> Sequence[float]:
    return config.popularity_weights if name == POPULARITY else config.weights


def ranking_quality(scores: FloatArray, cases: Cases) -> float:
    return ranking_metrics(target_ranks(scores, cases.target_rows))[HEADLINE]
