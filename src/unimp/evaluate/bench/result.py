"""`ResultFile`: one method, config and seed, judged once; self-contained, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, ValidationError

from unimp.core.config import Config
from unimp.core.files import file_hash, write_whole
from unimp.evaluate.bench.environment import Environment
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.evaluate.bench.second_stage import ALONE, OWN_MIXTURE, FusionRecord
from unimp.evaluate.bench.tries import Tuning, best_try
from unimp.metrics.ranking import RankArray, ranking_metrics

FORMAT = 1
RANK_COLUMNS: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_id": pl.String(),
    "rank": pl.Float64(),
    "history_length": pl.Int32(),
    "item_events": pl.Int32(),
}
"""Of the Parquet file: the target `item_id` (null outside the catalogue), its 1-based `rank` (mean rank on
ties, null when unscored, infinity for a miss), the history's events and the target's training events.
Both ids are null in a result without ids."""
IN_HISTORY = {"in_history": pl.Boolean()}
"""Column that ranks have since it was added: whether the case's own history holds the target."""


class DataIdentity(Config):
    """Which data, and how much of it the protocol left for each part."""

    name: str
    """Name of the data folder."""
    hash: str
    """Identity of its content."""
    items: int
    train_users: int
    train_events: int
    test_cases: int
    cases_hash: str
    """Identity of the test users and their targets, in order: what makes two results comparable by user."""
    targets_outside_catalogue: int
    """Test targets that no method can name: misses."""
    targets_in_history: int | None = None
    """Test targets that the case's own history holds, misses while it is masked; null in older results."""
    targets_tied_in_time: int
    """Test targets as old as the event before them: their order is the file's."""


class ResultFile(Config):
    """Everything that is needed to believe, compare and repeat one figure."""

    format: int = FORMAT
    method: str
    """Name in the table of methods."""
    title: str
    config: dict[str, Any]
    """The method's resolved config."""
    tuning: Tuning | None = None
    """How validation chose the config; null when it is the one the method came with, or set by hand."""
    fusion: FusionRecord | None = None
    """The second stage over the method's scores; null in results from before there was one."""
    details: dict[str, Any] = Field(default_factory=dict)
    """What the config names without holding it: a recipe in full, what validation chose."""
    seed: int
    protocol: BenchmarkProtocol
    data: DataIdentity
    environment: Environment
    seconds_fit: float
    """On the clock."""
    cpu_seconds_fit: float | None = None
    """Of all threads; null where it was not measured."""
    seconds_score: float
    """Scoring and ranking all test cases."""
    peak_memory_mib: float
    metrics: dict[str, float | None]
    """Fractions over the scored cases; null when none was scored."""
    unscored: int
    """Cases for which the method gave NaN."""
    tied_targets: int
    """Cases whose target shared its score with another item."""
    with_ids: bool
    """Whether the ranks name users and items; results of data that may not be passed on leave them out."""
    ranks_sha256: str
    """Hash of the Parquet file beside this one."""

    @property
    def name(self) -> str:
        """Name of the two files, without ending."""
        return result_name(
            self.method, self.config, self.protocol, self.data.hash, self.seed, self.tuning, self.fusion
        )

    @property
    def block(self) -> str:
        """The block of a table it stands in: rows of one block have had the same help."""
        if self.fusion is not None and self.fusion.kind != "none":
            return self.fusion.words()
        # UniMP's rows from before, and those with --set unimp.fusion_weights=true.
        return OWN_MIXTURE if self.details.get("mixture") else ALONE


def result_name(
    method: str,
    config: dict[str, Any],
    protocol: BenchmarkProtocol,
    data_hash: str,
    seed: int,
    tuning: Tuning | None = None,
    fusion: FusionRecord | None = None,
) -> str:
    """`METHOD-KEY-seedN`; the key stands for the rest, so that no other result is overwritten."""
    parts: list[Any] = [config, protocol.model_dump(mode="json"), data_hash]
    fused = [] if fusion is None or fusion.kind == "none" else [fusion.identity]
    identity = json.dumps(parts + (tuning.identity if tuning else []) + fused, sort_keys=True)
    return f"{method}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}-seed{seed}"


@dataclass(frozen=True)
class StoredResult:
    """A result file and its per-user ranks."""

    path: Path
    result: ResultFile
    ranks: pl.DataFrame
    """RANK_COLUMNS, in the order of the split's test cases."""

    def rank_values(self) -> RankArray:
        """[N] ranks, NaN where unscored."""
        return rank_values(self.ranks)

    def in_history(self) -> npt.NDArray[np.bool_] | None:
        """[N] whether the own history holds the target; None in older results."""
        if "in_history" not in self.ranks.columns:
            return None
        repeats: npt.NDArray[np.bool_] = self.ranks["in_history"].to_numpy()
        return repeats


def rank_values(ranks: pl.DataFrame) -> RankArray:
    values: RankArray = ranks["rank"].fill_null(float("nan")).to_numpy()
    return values


@dataclass(frozen=True)
class Rejected:
    """A file that is in the folder and in no table, and why."""

    path: Path
    reason: str


def write_ranks(path: Path, ranks: pl.DataFrame) -> str:
    """Write the Parquet file whole; return its hash."""
    columns = RANK_COLUMNS | {name: kind for name, kind in IN_HISTORY.items() if name in ranks.columns}
    table = ranks.select(pl.col(name).cast(kind) for name, kind in columns.items())
    write_whole(path, lambda part: table.write_parquet(part, compression="zstd", compression_level=15))
    return file_hash(path)


def write_result(folder: Path, result: ResultFile) -> Path:
    """Write the JSON file; it comes last, so its presence means that the result is complete."""
    path = folder / f"{result.name}.json"
    write_whole(path, lambda part: part.write_text(result.model_dump_json(indent=2) + "\n"))
    return path


def read_result(path: Path) -> StoredResult | Rejected:
    """Read one result and check it against its own ranks."""
    try:
        result = ResultFile.model_validate_json(path.read_text())
    except (OSError, ValueError, ValidationError):
        return Rejected(path, "not a result file, or damaged")
    if result.format != FORMAT:
        return Rejected(path, f"format {result.format}, this version reads {FORMAT}")
    if result.tuning is not None and result.tuning.winner != best_try(result.tuning.tries):
        return Rejected(path, "its winner is not the best of its tries")
    if path.stem != result.name:
        return Rejected(path, f"its content belongs in {result.name}.json")
    ranks_path = path.with_suffix(".parquet")
    if not ranks_path.exists():
        return Rejected(path, f"its ranks are missing ({ranks_path.name})")
    if file_hash(ranks_path) != result.ranks_sha256:
        return Rejected(path, f"its ranks have changed ({ranks_path.name})")
    ranks = pl.read_parquet(ranks_path)
    if (
        dict(ranks.schema) not in (RANK_COLUMNS, RANK_COLUMNS | IN_HISTORY)
        or ranks.height != result.data.test_cases
    ):
        return Rejected(path, f"its ranks are of another form ({ranks_path.name})")
    wrong = disagreements(result, rank_values(ranks))
    return (
        Rejected(path, f"{wrong} is not what its ranks give") if wrong else StoredResult(path, result, ranks)
    )


def disagreements(result: ResultFile, ranks: RankArray) -> str:
    """Names of the metrics that the ranks do not give."""
    found = ranking_metrics(ranks, result.protocol.cutoffs)
    wrong = []
    for name, value in found.items():
        stored = result.metrics.get(name)
        same = math.isnan(value) if stored is None else math.isclose(value, stored, abs_tol=1e-9)
        if not same:
            wrong.append(name)
    return ", ".join(wrong)
