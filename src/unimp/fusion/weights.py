"""The mixtures: what the sources of scores count beside the model, task by task, chosen on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unimp.data.histories import Cases, FloatArray, Histories
from unimp.fusion.structure import StructureConfig
from unimp.inference.retrieval import ModelRanker, ModelSearcher
from unimp.inference.score_sources import PICTURE, POPULARITY, WORDS, FusionWeights, SourceWeight
from unimp.metrics.ranking import mask_history, ranking_metrics, target_ranks
from unimp.runs.answerer import Answerer
from unimp.tasks.rating.decoder import FACTORS, TASTE, ModelRater, lifted, mixed, normalised
from unimp.tasks.rating.preference_percentile import PreferencePercentile
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.decoder import ModelSelector, gathered
from unimp.tasks.selection.task import SelectionTask
from unimp.tasks.task import Task

HEADLINE = "NDCG@5"
ROUNDS = 2
BATCH = 512


@dataclass(frozen=True)
class FittedWeights:
    """A mixture, and what validation said after each step of finding it."""

    fusion_weights: FusionWeights
    reached: dict[str, float]


def fit_fusion_weights(
    answerer: Answerer,
    tasks: Sequence[Task],
    valid: Cases,
    config: StructureConfig,
    *,
    exclude_history: bool = True,
) -> dict[str, FittedWeights]:
    """One mixture per task that has sources; the model runs once per task, every trial re-uses its scores.

    Recommendation comes first: its mixed answer is what ratings take the user's taste from.
    """
    found: dict[str, FittedWeights] = {}
    for task in sorted(tasks, key=lambda one: one.name != "recommendation"):
        if isinstance(task, SearchTask) and answerer.searcher is not None:
            found[task.name] = fit_search(
                answerer.searcher, task, valid, config, exclude_history=exclude_history
            )
        elif isinstance(task, RatingTask) and answerer.rater is not None:
            rater = answerer.rater
            if answerer.ranker is not None and "recommendation" in found:
                ranker = replace(answerer.ranker, fusion_weights=found["recommendation"].fusion_weights)
                rater = replace(rater, taste=PreferencePercentile(ranker))
            found[task.name] = fit_rating(rater, task, valid, config)
        elif isinstance(task, SelectionTask) and answerer.selector is not None:
            found[task.name] = fit_selection(answerer.selector, task, valid, config)
        elif task.name == "recommendation" and answerer.ranker is not None:
            found[task.name] = fit_recommendation_weights(
                answerer.ranker, valid, config, exclude_history=exclude_history
            )
    return found


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
                one = unit(name, recency)
                for weight in weights(name, config):
                    value = quality(base + np.float32(weight) * one)
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


def fit_recommendation_weights(
    ranker: ModelRanker, valid: Cases, config: StructureConfig, *, exclude_history: bool = True
) -> FittedWeights:
    """Recommendation: the best NDCG@5 over the full catalogue."""

    def scored(histories: Histories, start: int) -> FloatArray:
        scores = ranker.log_probabilities(histories)
        if exclude_history:
            mask_history(scores, histories)
        return scores

    def unit(name: str, recency: float) -> FloatArray:
        return ranker.sources.score(name, SourceWeight(weight=1.0, recency=recency), valid.histories)

    names = ranker.sources.names(None)
    return coordinate_search(
        in_batches(valid, scored), names, unit, lambda s: ranking_quality(s, valid), config
    )


def fit_search(
    searcher: ModelSearcher,
    task: SearchTask,
    valid: Cases,
    config: StructureConfig,
    *,
    exclude_history: bool = True,
) -> FittedWeights:
    """Search: the best NDCG@5 of the users' own items."""
    posed = task.queries(valid)
    cases = valid.select(np.array([row for row, one in enumerate(posed) if one is not None], dtype=np.int64))
    queries = [one.query for one in posed if one is not None]
    if not queries:
        return nothing_to_choose_by()

    def scored(histories: Histories, start: int) -> FloatArray:
        scores = searcher.log_probabilities(histories, queries[start : start + len(histories)])
        if exclude_history:
            mask_history(scores, histories)
        return scores

    def unit(name: str, recency: float) -> FloatArray:
        share = SourceWeight(weight=1.0, recency=recency)
        return searcher.sources.score(name, share, cases.histories, queries)

    names = searcher.sources.names(queries)
    return coordinate_search(
        in_batches(cases, scored), names, unit, lambda s: ranking_quality(s, cases), config
    )


def ranking_quality(scores: FloatArray, cases: Cases) -> float:
    return ranking_metrics(target_ranks(scores, cases.target_rows))[HEADLINE]


def fit_selection(
    selector: ModelSelector, task: SelectionTask, valid: Cases, config: StructureConfig
) -> FittedWeights:
    """Selection: the best mean accuracy over choices among any others and among others of the category."""
    known = valid.select(np.flatnonzero(valid.target_rows >= 0))
    if not len(known):
        return nothing_to_choose_by()
    sets = [task.choices(known, hard=hard) for hard in (False, True)]
    rows = [row for choices in sets for row in choices.candidates]
    truth = np.array([int(places[0]) for choices in sets for places in choices.places])
    width = max(map(len, rows))
    alone = np.full((len(rows), width), -np.inf, dtype=np.float32)
    for turn in range(len(sets)):
        for start in range(0, len(known), BATCH):
            first = turn * len(known) + start
            batch = rows[first : min(first + BATCH, (turn + 1) * len(known))]
            scores, _ = selector.log_probabilities(known.histories.slice(start, start + BATCH), batch)
            alone[first : first + len(batch), : scores.shape[1]] = scores

    def unit(name: str, recency: float) -> FloatArray:
        scores = selector.sources.score(name, SourceWeight(weight=1.0, recency=recency), known.histories)
        half = len(known)
        return np.concatenate([gathered(scores, rows[:half], width), gathered(scores, rows[half:], width)])

    names = selector.sources.names(None)
    return coordinate_search(alone, names, unit, lambda s: float((s.argmax(axis=1) == truth).mean()), config)


def fit_rating(rater: ModelRater, task: RatingTask, valid: Cases, config: StructureConfig) -> FittedWeights:
    """Ratings: the share of the closed form in the mean with the least squared error, then that of taste."""
    truth = task.truth(valid)
    asked = np.flatnonzero(~np.isnan(truth) & (valid.target_rows >= 0))
    if not len(asked):
        return nothing_to_choose_by()
    cases, truth = valid.select(asked), truth[asked]
    means = normalised(rater.log_probabilities(cases.histories, cases.target_rows)) @ rater.levels
    reached = {"model alone": root_mean_square(means - truth)}
    shares: dict[str, SourceWeight] = {}
    if rater.factors is not None:
        other = rater.factors.rate(cases.histories, cases.target_rows)
        tried = {weight: mixed(means, other, weight) for weight in (0.0, *config.rating_weights)}
        weight = min(tried, key=lambda one: root_mean_square(tried[one] - truth))
        means = tried[weight]
        if weight:
            shares[FACTORS] = SourceWeight(weight=weight)
        reached[FACTORS] = root_mean_square(means - truth)
    if rater.taste is not None:
        percentiles = rater.taste.percentiles(cases.histories, cases.target_rows)
        share = taste_share(percentiles, truth - means)
        if share.weight > 0:
            shares[TASTE] = share
            means = means + lifted(percentiles, share)
        reached[TASTE] = root_mean_square(means - truth)
    return FittedWeights(FusionWeights(shares=shares), reached)


def taste_share(percentiles: FloatArray, missing: FloatArray) -> SourceWeight:
    """The slope of what is missing from the mean against taste, by least squares; the centre adds nothing."""
    known = ~np.isnan(percentiles)
    if not known.any():
        return SourceWeight(weight=0.0)
    centre = float(percentiles[known].mean())
    away = percentiles[known] - centre
    slope = float((away * missing[known]).sum() / max(float((away**2).sum()), 1e-9))
    return SourceWeight(weight=slope, centre=centre)


def root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt((errors**2).mean()))
