"""Rankers that know part of the truth: they bound what a model can reach with that part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Histories, Split
from unimp.demo.shop.writing import hidden_items, shop_users
from unimp.features.item_graph import ItemGraph
from unimp.metrics.ranking import rank_cases, ranking_metrics

TASTES = ("picture", "text", "habit")
TEXT_LEVELS = ("category", "brand", "line")


def shuffled(scores: npt.NDArray[np.float64]) -> FloatArray:
    """Ties in random order, as an honest guess would have them (the judge gives ties their mean rank)."""
    jitter = np.random.default_rng(0).random(scores.shape) * 1e-3
    return (scores + jitter).astype(np.float32)


@dataclass(frozen=True)
class Pop:
    counts: npt.NDArray[np.float64]

    def score(self, histories: Histories) -> FloatArray:
        return np.tile(self.counts.astype(np.float32), (len(histories), 1))


@dataclass(frozen=True)
class Neighbours:
    graph: ItemGraph

    def score(self, histories: Histories) -> FloatArray:
        return self.graph.score(histories)


@dataclass(frozen=True)
class Truth:
    """Everything hidden about items and users, looked up by row and by user id."""

    items: pl.DataFrame
    users: dict[str, dict[str, str | None]]

    @classmethod
    def of(cls, shop: Dataset) -> Truth:
        line = pl.col("description").str.extract(r"An? (\w+) line").alias("line")
        told = shop.catalog.items.select("category", "brand", line)
        hidden = hidden_items(shop.folder)
        people = {row["user_id"]: row for row in shop_users(shop.folder).iter_rows(named=True)}
        return cls(pl.concat([hidden, told], how="horizontal"), people)

    def matches(self, name: str, value: str | None) -> npt.NDArray[np.bool_]:
        return (self.items[name] == value).fill_null(False).to_numpy()


@dataclass(frozen=True)
class TasteOracle:
    """Knows each user's taste, as far as it lies in the attributes of `levels`."""

    truth: Truth
    levels: tuple[str, ...]

    def score(self, histories: Histories) -> FloatArray:
        scores = np.zeros((len(histories), self.truth.items.height))
        for row, user_id in enumerate(histories.user_ids.tolist()):
            user = self.truth.users[user_id]
            for name in self.levels:
                if user[name] is not None:
                    scores[row] += self.truth.matches(name, user[name])
        return shuffled(scores)


@dataclass(frozen=True)
class TextOracle:
    """Knows every text attribute of every item, and what the user's history says of each (naive Bayes).

    It is even told which items are arrivals, which no text says.
    """

    truth: Truth
    arrivals: npt.NDArray[np.bool_]

    def score(self, histories: Histories) -> FloatArray:
        scores = np.zeros((len(histories), self.truth.items.height))
        for name in TEXT_LEVELS:
            codes = self.truth.items[name].fill_null("?").rank("dense").to_numpy().astype(np.int64) - 1
            counts = np.zeros((len(histories), codes.max() + 1))
            np.add.at(counts, (histories.owners(), codes[histories.item_rows]), 1.0)
            scores += np.log((counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True))[:, codes]
        return shuffled(scores + 10.0 * self.arrivals)


@dataclass(frozen=True)
class NextOracle:
    """Counts which item followed which in the training log."""

    follows: npt.NDArray[np.float64]

    @classmethod
    def of(cls, train: Histories, num_items: int) -> NextOracle:
        follows = np.zeros((num_items, num_items))
        owners = train.owners()
        same = owners[1:] == owners[:-1]
        np.add.at(follows, (train.item_rows[:-1][same], train.item_rows[1:][same]), 1.0)
        return cls(follows)

    def score(self, histories: Histories) -> FloatArray:
        return shuffled(self.follows[histories.item_rows[histories.offsets[1:] - 1]])


def hit_rates(ranker: object, split: Split, truth: Truth) -> dict[str, float]:
    """HR@5 on the test cases: "all", and for each kind of user."""
    ranks = rank_cases(ranker, split.test)  # type: ignore[arg-type]
    kinds = np.array([truth.users[user]["taste"] for user in split.test.histories.user_ids.tolist()])
    rates = {"all": ranking_metrics(ranks)["HR@5"]}
    for taste in TASTES:
        rates[taste] = ranking_metrics(ranks[kinds == taste])["HR@5"]
    return rates
