"""`TeacherRanker`: the teacher's stages, fitted so that no user is judged by trees that it taught."""

# U users, N candidates, F features, K items per target distribution

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.data.splits import last_item_cases
from unimp.fusion.config import FusionConfig, TeacherConfig
from unimp.fusion.features import Features
from unimp.fusion.fitting import grow, make_shortlists, usable
from unimp.fusion.history_view import HistoryView
from unimp.fusion.learned import shortlist
from unimp.fusion.logit import SampledChoices, fit_logit
from unimp.fusion.sampling import sample_choices
from unimp.fusion.trees import Shortlists, predict

LEAST = np.float32(-np.inf)


@dataclass(frozen=True)
class TeacherRanker:
    """What scores the items behind an event."""

    weights: FloatArray
    """[F] of the logit's features."""
    boosters: Sequence[Any] = ()
    """One a fold, learnt from the users of the others; empty: the logit alone."""
    sharpness: FloatArray | None = None
    """[2] of the trees' score and the logit: their weighted sum is a log-probability among the candidates."""

    def distributions(
        self,
        features: Features,
        pasts: Sequence[HistoryView],
        left_out: Sequence[IntArray],
        fold: int,
        config: TeacherConfig,
    ) -> tuple[IntArray, FloatArray]:
        """[U, K] items after each of U histories, best first, and their [U, K] parts.

        `left_out`: rows that may not be named, for each history. `fold`: that of the histories' user.
        """
        count = min(config.items, features.relations.num_items)
        rows, scores = self.candidates(features, pasts, left_out, count, fold)
        named = [
            largest(np.where(np.isin(own, away), LEAST, values / np.float32(config.temperature)), count)
            for own, values, away in zip(rows, scores, left_out, strict=True)
        ]
        chosen = [own[places] for own, (places, _) in zip(rows, named, strict=True)]
        return np.stack(chosen), np.stack([parts for _, parts in named])

    def candidates(
        self,
        features: Features,
        pasts: Sequence[HistoryView],
        left_out: Sequence[IntArray],
        count: int,
        fold: int,
    ) -> tuple[IntArray, FloatArray]:
        """[U, N] rows and their scores: all items by the logit, or its first ones by the trees."""
        if not self.boosters:
            scores = np.stack([self.weights @ features.catalogue(past, None) for past in pasts])
            return np.broadcast_to(np.arange(scores.shape[1]), scores.shape), scores
        found = [
            shortlist(features, past, None, self.weights, count, away)
            for past, away in zip(pasts, left_out, strict=True)
        ]
        tables = np.stack([table for _, _, table in found])
        assert self.sharpness is not None
        both = np.stack((predict([self.boosters[fold]], tables), logits(features, tables)), axis=-1)
        return np.stack([rows for _, rows, _ in found]), both @ self.sharpness


def fit_ranker(
    folds: Iterable[tuple[IntArray, Histories, Features]],
    config: TeacherConfig,
    *,
    exclude: bool,
    show: bool = False,
) -> TeacherRanker:
    """Both stages from the last items of all users, each described by its fold's features (`FoldFeatures`).

    The logit is fitted on the first fold. With fewer than `learned.FEWEST_HITS` targets among its first items
    no trees are grown.
    """
    settings = FusionConfig(folds=config.folds, candidates=config.items)
    weights: FloatArray | None = None
    parts, fold_of = [], []
    for fold, (_, histories, features) in enumerate(folds):
        if weights is None:
            weights = fit_weights(features, histories, exclude=exclude)
        cases = last_item_cases(histories)
        users = usable(cases, settings, exclude=exclude)[: settings.users // config.folds]
        lists, _ = make_shortlists(
            features, cases, users, None, [weights], np.zeros(len(users), np.int64), settings, exclude, show
        )
        parts.append(lists)
        fold_of.append(np.full(len(users), fold))
    assert weights is not None
    lists = Shortlists(
        np.concatenate([part.features for part in parts]), np.concatenate([part.hits for part in parts])
    )
    del parts
    fold_of_U = np.concatenate(fold_of)
    boosters, _, _ = grow(lists, fold_of_U, settings)
    if not boosters:
        return TeacherRanker(weights)
    hit = np.flatnonzero(lists.hits >= 0)
    scores = np.empty((len(hit), lists.features.shape[1]), dtype=np.float32)
    for fold, booster in enumerate(boosters):
        own = np.flatnonzero(fold_of_U[hit] == fold)
        scores[own] = predict([booster], lists.features[hit[own]])
    both = np.stack((scores, logits(features, lists.features[hit])), axis=-1)
    return TeacherRanker(weights, boosters, sharpness(both, lists.hits[hit]))


def sharpness(scores_UNS: FloatArray, hits_U: IntArray) -> FloatArray:
    """[S] by which S scores of N candidates add up to the likeliest log-odds of the place `hits_U`."""
    order = np.argsort(np.arange(scores_UNS.shape[1]) != hits_U[:, None], axis=1, kind="stable")
    first_UNS = np.take_along_axis(scores_UNS, order[:, :, None], axis=1)
    even = np.zeros(first_UNS.shape[:2], dtype=np.float32)
    return fit_logit(SampledChoices(first_UNS, even), l2=0.0).astype(np.float32)


def logits(features: Features, tables: FloatArray) -> FloatArray:
    """[U, N] of shortlists [U, N, F]: the first of the second stage's own features."""
    return tables[:, :, len(features.names)]


def fit_weights(features: Features, histories: Histories, *, exclude: bool) -> FloatArray:
    """[F] of the logit, fitted on the last item of each of the `histories`; zeros where none can be used."""
    settings = FusionConfig()
    cases = last_item_cases(histories)
    users = usable(cases, settings, exclude=exclude)[: settings.logit_users]
    if not len(users):
        return np.zeros(len(features.names), dtype=np.float32)
    choices, scaling = sample_choices(features, cases, users, None, exclude=exclude, seed=settings.seed)
    importance = fit_logit(choices, l2=settings.penalty)
    return (importance / scaling.deviation).astype(np.float32)


def largest(scores: FloatArray, count: int) -> tuple[IntArray, FloatArray]:
    """The `count` places of the highest scores, best first, and their softmax.

    In the place of those that may not be named (−inf) stands the best one again, with nothing.
    """
    chosen = np.argpartition(-scores, count - 1)[:count]
    chosen = chosen[np.lexsort((chosen, -scores[chosen]))]
    named = np.isfinite(scores[chosen])
    top = scores[chosen[0]] if named[0] else np.float32(0)
    odds = np.exp(scores[chosen] - top, where=named, out=np.zeros(count, dtype=np.float32))
    return np.where(named, chosen, chosen[0]), odds / max(odds.sum(), np.float32(1e-9))
