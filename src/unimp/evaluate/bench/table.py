"""The table: rows from result files only, means over seeds, best marked, `*` where a paired test agrees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unimp.core.config import dotted
from unimp.core.errors import DataError
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.evaluate.bench.result import DataIdentity, Rejected, StoredResult, read_result
from unimp.evaluate.bench.second_stage import block_order
from unimp.evaluate.bench.significance import (
    Interval,
    PairedComparison,
    Values,
    compare_pairs,
    intervals_of,
    over_users,
)
from unimp.evaluate.bench.tries import Tuning
from unimp.metrics.ranking import METRIC_NAMES, metric_values
from unimp.metrics.scored import mean_or_nan

SIGNIFICANT = 0.05
"""p below which the best of a column gets its `*`."""


@dataclass(frozen=True)
class TableRow:
    """One method with one config: means over its seeds."""

    label: str
    """The title, and the settings that tell it apart where a method has several rows."""
    results: tuple[StoredResult, ...]
    """One per seed."""
    values: dict[str, Interval]
    """Mean and 95 % interval over users, per metric."""

    @property
    def method(self) -> str:
        return self.results[0].result.method

    @property
    def config(self) -> dict[str, Any]:
        return self.results[0].result.config

    @property
    def block(self) -> str:
        """The fusion it was judged with: only rows of one block have had the same help."""
        return self.results[0].result.block

    @property
    def tuning(self) -> Tuning | None:
        """How the config was chosen, the same for all seeds."""
        return self.results[0].result.tuning

    def apart(self, metric: str) -> dict[str, float]:
        """`metric` over the targets that the user already had (`repeat`) and over the others (`explore`).

        Empty where there is but one kind, or where a result does not know.
        """
        repeats = self.results[0].in_history()
        if repeats is None or repeats.all() or not repeats.any():
            return {}
        values = case_values(self.results, metric)
        return {
            "repeat": mean_or_nan(values[repeats & ~np.isnan(values)]),
            "explore": mean_or_nan(values[~repeats & ~np.isnan(values)]),
        }

    def average(self, name: str) -> float:
        """The mean over seeds of a number of the result files, such as `seconds_fit`; NaN if one lacks it."""
        values = [getattr(stored.result, name) for stored in self.results]
        return float("nan") if None in values else float(np.mean(values))


@dataclass(frozen=True)
class Lead:
    """The best row of a column against the best of another method; where there is but one, the next row."""

    best: int
    runner_up: int
    comparison: PairedComparison

    @property
    def significant(self) -> bool:
        return self.comparison.p_value < SIGNIFICANT and self.comparison.difference.mean > 0


@dataclass(frozen=True)
class Table:
    """All rows of one data set under one protocol, block by block, best first by `sorted_by`."""

    data: DataIdentity
    protocol: BenchmarkProtocol
    metrics: tuple[str, ...]
    sorted_by: str
    rows: tuple[TableRow, ...]
    leads: dict[str, Lead]
    """Per metric, where two rows or more of the first block were scored."""
    rejected: tuple[Rejected, ...]
    """Files of the folder that are in no row, and why."""

    later_leads: dict[str, dict[str, Lead]] = field(default_factory=dict)
    """The same of every further block, by its name."""

    @property
    def apart(self) -> str:
        """The metric to show over repeated and over new targets apart; empty where only one kind counts."""
        shown = not self.protocol.exclude_history and all(row.apart(self.sorted_by) for row in self.rows)
        return self.sorted_by if shown else ""

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks, in order."""
        return tuple(dict.fromkeys(row.block for row in self.rows))

    def leads_of(self, block: str) -> dict[str, Lead]:
        """Per metric; nothing is compared across blocks."""
        return self.leads if block == self.rows[0].block else self.later_leads.get(block, {})

    def best(self, metric: str, block: str | None = None) -> int:
        """The row that is best within a block, the first one unless named; -1 when none was scored."""
        name = block or self.rows[0].block
        scored = [
            (row.values[metric].mean, -place)
            for place, row in enumerate(self.rows)
            if row.block == name and not np.isnan(row.values[metric].mean)
        ]
        return -max(scored)[1] if scored else -1


def build_table(folder: Path) -> Table:
    """The table of a result folder; DataError when there is nothing in it."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such result folder; make one with `unimp bench run`")
    read = [read_result(path) for path in sorted(folder.glob("*.json"))]
    rejected = [entry for entry in read if isinstance(entry, Rejected)]
    stored, foreign = same_rules([entry for entry in read if isinstance(entry, StoredResult)])
    rejected += foreign
    if not stored:
        reasons = "; ".join(f"{entry.path.name}: {entry.reason}" for entry in rejected)
        raise DataError(
            f"{folder}: no results{' (' + reasons + ')' if reasons else ''}; run `unimp bench run`"
        )
    first = stored[0].result
    metrics = tuple(f"{name}@{k}" for name in METRIC_NAMES for k in first.protocol.cutoffs)
    sorted_by = "NDCG@5" if "NDCG@5" in metrics else f"NDCG@{first.protocol.cutoffs[-1]}"
    rows = make_rows(stored, metrics)
    # NaN (nothing scored) goes last.
    rows.sort(key=lambda row: (*block_order(row.block), -np.nan_to_num(row.values[sorted_by].mean, nan=-1.0)))
    leads = {
        block: find_leads(rows, metrics, [place for place, row in enumerate(rows) if row.block == block])
        for block in dict.fromkeys(row.block for row in rows)
    }
    first_leads = leads.pop(rows[0].block)
    return Table(
        first.data, first.protocol, metrics, sorted_by, tuple(rows), first_leads, tuple(rejected), leads
    )


def same_rules(stored: Sequence[StoredResult]) -> tuple[list[StoredResult], list[Rejected]]:
    """The largest group of results with the same data, protocol and cases; the others are foreign to it."""
    groups: dict[str, list[StoredResult]] = defaultdict(list)
    for entry in stored:
        data, rules = entry.result.data, entry.result.protocol.model_dump_json()
        groups[f"{data.hash} {data.cases_hash} {rules}"].append(entry)
    ordered = sorted(groups.values(), key=len, reverse=True)
    if not ordered:
        return [], []
    kept = ordered[0]
    reference = kept[0].result
    foreign = []
    for entry in (entry for group in ordered[1:] for entry in group):
        if entry.result.data.hash != reference.data.hash:
            own, other = entry.result.data, reference.data
            reason = f"other data ({own.name} {own.hash}, this table is of {other.name} {other.hash})"
        else:
            reason = "other protocol or other cases than the rest of this table"
        foreign.append(Rejected(entry.path, reason))
    return kept, foreign


def make_rows(stored: Sequence[StoredResult], metrics: Sequence[str]) -> list[TableRow]:
    by_config: dict[tuple[str, str, str, str], list[StoredResult]] = defaultdict(list)
    for entry in stored:
        tuning = entry.result.tuning
        key = (
            entry.result.method,
            repr(sorted(entry.result.config.items())),
            repr(tuning.identity if tuning else None),
            entry.result.block,
        )
        by_config[key].append(entry)
    scored = [
        np.stack([user_values(entries, metric) for metric in metrics], axis=1)
        for entries in by_config.values()
    ]
    rows = []
    for (key, entries), intervals in zip(by_config.items(), intervals_of(scored), strict=True):
        siblings = [
            others[0].result.config
            for other, others in by_config.items()
            if (other[0], other[-1]) == (key[0], key[-1])
        ]
        label = entries[0].result.title + distinguishing(entries[0].result.config, siblings)
        by_seed = tuple(sorted(entries, key=lambda entry: entry.result.seed))
        rows.append(TableRow(label, by_seed, dict(zip(metrics, intervals, strict=True))))
    return rows


def distinguishing(config: dict[str, Any], siblings: Sequence[dict[str, Any]]) -> str:
    """` (key=value, …)` of the settings in which rows of one method differ, by the last part of a name.

    A teacher is told wherever there is one; the number of threads and that no run was given are
    not, nor what is off here and unknown to the others, whose results are older than the setting.
    """
    others = [dotted(sibling) for sibling in siblings]
    differing = [
        f"{name}={value}"
        for key, value in dotted(config).items()
        for name in [key.rpartition(".")[2]]
        if key == "teacher_share"
        or any(other[key] != value if key in other else bool(value) for other in others)
        if name != "threads" and (key, value) != ("run", None)
    ]
    return f" ({', '.join(differing)})" if differing else ""


def case_values(results: Sequence[StoredResult], metric: str) -> Values:
    """[N] each case's mean over seeds; NaN for a case that any seed left unscored."""
    name, _, cutoff = metric.partition("@")
    values = [metric_values(stored.rank_values(), name, int(cutoff)) for stored in results]
    mean: Values = np.mean(values, axis=0)
    return mean


def user_values(results: Sequence[StoredResult], metric: str) -> Values:
    """[U] each user's mean over seeds and cases; NaN for a user that any seed left unscored."""
    return over_users(case_values(results, metric), results[0].result.protocol.cases_per_user)


def find_leads(rows: Sequence[TableRow], metrics: Sequence[str], among: Sequence[int]) -> dict[str, Lead]:
    """Of the rows `among`: the best of each column and the best of another method, compared user by user."""
    pairs: dict[str, tuple[int, int]] = {}
    for metric in metrics:
        means = np.array([row.values[metric].mean for row in rows])
        order = np.argsort(-means, kind="stable")
        ranked = [int(row) for row in order if row in among and not np.isnan(means[row])]
        if len(ranked) > 1:
            others = [row for row in ranked if rows[row].method != rows[ranked[0]].method]
            pairs[metric] = ranked[0], (others or ranked[1:])[0]
    values = [
        (user_values(rows[best].results, metric), user_values(rows[runner_up].results, metric))
        for metric, (best, runner_up) in pairs.items()
    ]
    return {
        metric: Lead(*pair, comparison)
        for (metric, pair), comparison in zip(pairs.items(), compare_pairs(values), strict=True)
    }
