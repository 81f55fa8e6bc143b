"""`LearnedFusion`: a conditional logit over relation features, then boosted trees on its first items."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unimp.core.errors import CheckpointError
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.fusion.features import Features
from unimp.fusion.history_view import HistoryView
from unimp.fusion.trees import predict

NO_ROWS = np.empty(0, dtype=np.int64)
LIFT = 1.0e4
"""Score of the first re-ranked item; the next have one less each, and stay before all others."""


@dataclass(frozen=True)
class Reached:
    """What the fit reached on the validation users, each judged by what was fitted without it."""

    users: int
    logit: float
    """NDCG@5 of the first stage."""
    trees: tuple[float, ...]
    """NDCG@5 of the second stage, fold by fold; empty without trees."""
    recall: float
    """Share of targets among the candidates."""
    rounds: tuple[int, ...]
    """Trees that early stopping left in each booster, fold by fold."""


@dataclass(frozen=True)
class LearnedFusion:
    """Fitted weights and trees."""

    names: tuple[str, ...]
    """[F] of the logit's features."""
    weights: FloatArray
    """[F] of the features as they are."""
    importance: FloatArray
    """[F] of the standardised ones: comparable with one another."""
    boosters: Sequence[Any]
    candidates: int
    reached: Reached

    def score(
        self, features: Features, histories: Histories, model: FloatArray | None, *, exclude: bool
    ) -> FloatArray:
        """[U, I]; `model`: [U, I] the method's log-probabilities."""
        scores, lists, ranked = self.ranked(features, histories, model, exclude=exclude)
        for user, values in enumerate(ranked):
            scores[user, lists[user]] = LIFT - places(values)
        return scores

    def ranked(
        self,
        features: Features,
        histories: Histories,
        model: FloatArray | None,
        left_out: IntArray = NO_ROWS,
        *,
        exclude: bool,
    ) -> tuple[FloatArray, list[IntArray], FloatArray]:
        """[U, I] the logit's scores, each user's N candidates, and [U, N] the trees' scores of them.

        The rows `left_out`, and with `exclude` each user's own, are candidates last. Without trees no user
        stands in the last of the three.
        """
        scores = np.empty((len(histories), features.relations.num_items), dtype=np.float32)
        lists, tables = [], []
        for user in range(len(histories)):
            past = HistoryView.of(histories, user, features.relations.decay)
            away = np.concatenate((left_out, past.rows)) if exclude else left_out
            own = None if model is None else model[user]
            scores[user], rows, table = shortlist(features, past, own, self.weights, self.candidates, away)
            lists.append(rows)
            tables.append(table)
        if not self.boosters or not lists:
            return scores, lists, np.empty((0, 0), dtype=np.float32)
        return scores, lists, predict(self.boosters, np.stack(tables))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "logit.npz", weights=self.weights, importance=self.importance)
        facts = {"names": self.names, "candidates": self.candidates, "reached": vars(self.reached)}
        (folder / "fusion.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        for number, booster in enumerate(self.boosters):
            (folder / f"trees-{number:03}.txt").write_text(booster.model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> LearnedFusion:
        """What `save` wrote; CheckpointError when it is missing or damaged."""
        try:
            facts = json.loads((folder / "fusion.json").read_text(encoding="utf-8"))
            arrays = np.load(folder / "logit.npz")
            paths = sorted(folder.glob("trees-*.txt"))
            reached = facts["reached"]
            if len(paths) != len(reached["rounds"]):
                raise ValueError(f"{len(paths)} of {len(reached['rounds'])} tree files")
            boosters = []
            if paths:
                import lightgbm as lgb

                boosters = [lgb.Booster(model_str=path.read_text(encoding="utf-8")) for path in paths]
            told = Reached(
                reached["users"], reached["logit"], tuple(reached["trees"]), reached["recall"],
                tuple(reached["rounds"]),
            )  # fmt: skip
            return cls(
                tuple(facts["names"]), arrays["weights"], arrays["importance"], boosters,
                facts["candidates"], told,
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{folder}: not a saved fusion ({reason}); fit it again") from None


@dataclass(frozen=True)
class Contribution:
    """What one relation adds to an item's score in the logit, against the catalogue's average item."""

    relation: str
    amount: float


def contributions(
    features: Features,
    fusion: LearnedFusion,
    histories: Histories,
    model: FloatArray | None,
    candidate: int,
) -> list[Contribution]:
    """The relations that speak for `candidate` after the one history given, strongest first.

    A relation's part is its features' weights times what they exceed the catalogue's mean by; those that
    speak against it are left out.
    """
    past = HistoryView.of(histories, 0, features.relations.decay)
    values = features.catalogue(past, model)
    parts = fusion.weights * (values[:, candidate] - values.mean(axis=1))
    totals: dict[str, float] = {}
    for name, part in zip(features.names, parts, strict=True):
        relation = name.partition(": ")[0]
        totals[relation] = totals.get(relation, 0.0) + float(part)
    strongest = sorted(totals.items(), key=lambda pair: -pair[1])
    return [Contribution(relation, amount) for relation, amount in strongest if amount > 0]


def shortlist(
    features: Features,
    past: HistoryView,
    model: FloatArray | None,
    weights: FloatArray,
    count: int,
    left_out: IntArray,
) -> tuple[FloatArray, IntArray, FloatArray]:
    """[I] the logit's scores, its first `count` items, and their features [count, F of both stages].

    The rows `left_out` come last.
    """
    values = features.catalogue(past, model)
    scores = weights @ values
    allowed = scores.copy()
    allowed[left_out] = -np.inf
    count = min(count, len(scores))
    rows = np.argpartition(-allowed, count - 1)[:count]
    rows = rows[np.lexsort((rows, -allowed[rows]))]
    close = features.close(past, rows, scores[rows], model)
    return scores, rows, np.concatenate([values[:, rows], close]).T


def places(values: FloatArray) -> IntArray:
    """[…, N] the place of each value among its row, largest first; of equals the one listed first."""
    order = np.argsort(-values, axis=-1, kind="stable")
    found: IntArray = np.argsort(order, axis=-1, kind="stable")
    return found
