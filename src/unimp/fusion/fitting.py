"""How a `LearnedFusion` is fitted: the logit on sampled choices, then trees, fold by fold, on its first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unimp.core.errors import DataError
from unimp.core.progress import progress_bar
from unimp.data.histories import Cases, FloatArray, IntArray
from unimp.fusion.config import FusionConfig
from unimp.fusion.features import Features
from unimp.fusion.history_view import HistoryView
from unimp.fusion.learned import NO_ROWS, LearnedFusion, Reached, places, shortlist
from unimp.fusion.logit import fit_logit
from unimp.fusion.probabilities import ScoreStore
from unimp.fusion.sampling import sample_choices
from unimp.fusion.trees import Shortlists, dataset, fit_fold, predict

FEWEST_HITS = 100
"""With fewer users whose target is among the candidates, no trees are grown and the logit's order stands."""


def fit_learned(
    features: Features,
    cases: Cases,
    scores: ScoreStore | None,
    config: FusionConfig,
    *,
    exclude: bool,
    show: bool = False,
) -> LearnedFusion:
    """Both stages on the `cases`, whose histories do not hold their targets.

    DataError with fewer usable cases than folds.
    """
    users = usable(cases, config, exclude=exclude)
    if len(users) < 2 * config.folds:
        raise DataError(
            f"fusion: {len(users)} validation cases can be learned from, at least {2 * config.folds} are "
            "needed; use --fusion none, or a split with validation users"
        )
    folds = np.arange(len(users)) % config.folds
    few = users[: config.logit_users]
    choices, scaling = sample_choices(features, cases, few, scores, exclude=exclude, seed=config.seed)
    importance = fit_logit(choices, l2=config.penalty)
    by_fold = [
        fit_logit(
            choices.select(np.flatnonzero(folds[: len(few)] != fold)),
            l2=config.penalty,
            start=importance,
            steps=15,
        )
        for fold in range(config.folds)
    ]
    del choices
    plain = [(weights / scaling.deviation).astype(np.float32) for weights in (importance, *by_fold)]
    lists, ranks = make_shortlists(features, cases, users, scores, plain[1:], folds, config, exclude, show)
    boosters, by_trees, rounds = grow(lists, folds, config)
    told = Reached(
        users=len(users),
        logit=round(float(worth(ranks).mean()), 6),
        trees=tuple(
            round(float(by_trees[folds == fold].mean()), 6) for fold in range(len(boosters) // config.bags)
        ),
        recall=round(float((lists.hits >= 0).mean()), 6),
        rounds=rounds,
    )
    return LearnedFusion(
        features.names, plain[0], importance.astype(np.float32), boosters, config.candidates, told
    )


def usable(cases: Cases, config: FusionConfig, *, exclude: bool) -> IntArray:
    """Cases with a history and a known target, which the history does not hold where it is masked."""
    kept = []
    for user in np.flatnonzero((cases.target_rows >= 0) & (cases.histories.lengths > 0)):
        if not exclude or cases.target_rows[user] not in cases.histories.items_of(int(user)):
            kept.append(int(user))
    drawn = np.random.default_rng([config.seed, 0]).permutation(np.array(kept, dtype=np.int64))
    return drawn[: config.users]


def make_shortlists(
    features: Features,
    cases: Cases,
    users: IntArray,
    scores: ScoreStore | None,
    weights: Sequence[FloatArray],
    folds: IntArray,
    config: FusionConfig,
    exclude: bool,
    show: bool,
) -> tuple[Shortlists, FloatArray]:
    """Each user's first items by the logit that was fitted without it, and [U] the target's rank."""
    width = len(features.names) + len(features.close_names)
    count = min(config.candidates, features.relations.num_items)
    table = np.empty((len(users), count, width), dtype=np.float32)
    hits, ranks = np.full(len(users), -1, dtype=np.int64), np.empty(len(users), dtype=np.float32)
    with progress_bar("fusion: candidates", len(users), show=show) as bar:
        for row, user in enumerate(users):
            past = HistoryView.of(cases.histories, int(user), features.relations.decay)
            model = None if scores is None else scores.values[user]
            all_scores, rows, table[row] = shortlist(
                features, past, model, weights[folds[row]], count, past.rows if exclude else NO_ROWS
            )
            target = int(cases.target_rows[user])
            if exclude:
                all_scores[past.rows] = -np.inf
            ranks[row] = 1 + (all_scores > all_scores[target]).sum()
            found = np.flatnonzero(rows == target)
            hits[row] = found[0] if len(found) else -1
            bar.advance()
    return Shortlists(table, hits), ranks


def grow(
    lists: Shortlists, folds: IntArray, config: FusionConfig
) -> tuple[list[Any], FloatArray, tuple[int, ...]]:
    """The boosters of all folds, [U] NDCG@5 of each user by the one that never saw it, and their sizes."""
    reached = np.zeros(len(folds), dtype=np.float32)
    if (lists.hits >= 0).sum() < FEWEST_HITS:
        return [], reached, ()
    boosters, whole = [], dataset(lists)
    listed = folds[lists.hits >= 0]
    for fold in range(config.folds):
        inside, outside = np.flatnonzero(listed != fold), np.flatnonzero(listed == fold)
        of_fold = fit_fold(whole, inside, outside, config, fold)
        boosters += of_fold
        hit = np.flatnonzero((folds == fold) & (lists.hits >= 0))
        values = predict(of_fold, lists.features[hit])
        reached[hit] = worth(1 + places(values)[np.arange(len(hit)), lists.hits[hit]])
    return boosters, reached, tuple(int(booster.best_iteration) for booster in boosters)


def worth(ranks: Any) -> FloatArray:
    """NDCG@5 of each rank."""
    places = np.asarray(ranks, dtype=np.float64)
    return np.where(places <= 5, 1.0 / np.log2(1.0 + places), 0.0).astype(np.float32)
