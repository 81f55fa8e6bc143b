"""The fusion weights of ratings: the closed form's share of the mean, and the slope of taste."""

from __future__ import annotations

import numpy as np

from unimp.core.products import matrix_vector
from unimp.data.histories import Cases, FloatArray
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import FittedWeights, nothing_to_choose_by
from unimp.inference.score_sources import FusionWeights, SourceWeight
from unimp.tasks.rating.decoder import FACTORS, TASTE, ModelRater, lifted, mixed, normalised
from unimp.tasks.rating.task import RatingTask


def fit_rating(rater: ModelRater, task: RatingTask, valid: Cases, config: StructureConfig) -> FittedWeights:
    """Ratings: the share of the closed form in the mean with the least squared error, then that of taste."""
    truth = task.truth(valid)
    rated = np.flatnonzero(~np.isnan(truth) & (valid.target_rows >= 0))
    if not len(rated):
        return nothing_to_choose_by()
    cases, truth = valid.select(rated), truth[rated]
    chances = normalised(rater.log_probabilities(cases.histories, cases.target_rows))
    means = matrix_vector(chances, rater.levels)
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
