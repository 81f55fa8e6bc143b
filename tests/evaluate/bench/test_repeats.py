"""A log of people who buy again: who judges says so, marks no column of zeros, and parts repeats from new."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from unimp.baselines import METHODS
from unimp.core.files import file_hash
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.interactions import COLUMNS, Interactions
from unimp.evaluate.bench.jobs import plan_jobs
from unimp.evaluate.bench.present import as_document, as_text
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.evaluate.bench.publish import as_latex, as_markdown
from unimp.evaluate.bench.report import render
from unimp.evaluate.bench.result import RANK_COLUMNS, read_result
from unimp.evaluate.bench.runner import run_jobs
from unimp.evaluate.bench.table import Table, build_table

STAPLES, NEW_USERS = 9, 3


@pytest.fixture(scope="module")
def staples(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Nine users who buy 0 and 1 in turn, and three whose last item they never had."""
    pasts = [[0, 1, 0, 1, 0] for _ in range(STAPLES)] + [[0, 1, 2 + user, 5] for user in range(NEW_USERS)]
    rows = [{"user_id": f"u{user:02}", "item_row": item} for user, past in enumerate(pasts) for item in past]
    events = pl.DataFrame(rows).with_columns(
        pl.lit(None).cast(kind).alias(name) if name not in rows[0] else pl.col(name).cast(kind)
        for name, kind in COLUMNS.items()
    )
    items = pl.DataFrame({"item_id": [f"i{row}" for row in range(6)], "picture": [None] * 6})
    folder = tmp_path_factory.mktemp("data") / "staples"
    catalog = Catalog(items.with_columns(pl.col("picture").cast(pl.String)), ())
    return Dataset.write(folder, catalog, Interactions(events.select(list(COLUMNS))), source="test")


def judged(dataset: Dataset, folder: Path, said: list[str], *, masked: bool) -> Table:
    protocol = BenchmarkProtocol(exclude_history=masked)
    run_jobs(dataset, plan_jobs(METHODS, ["pop", "itemknn"]), folder, protocol=protocol, say=said.append)
    return build_table(folder)


def test_certain_misses_are_said_by_run_and_table(staples: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    table = judged(staples, tmp_path, said, masked=True)
    assert said[0].startswith("9 of 12 test targets are in the user's own history: certain misses while it")
    assert table.data.targets_in_history == STAPLES
    for text in (as_text(table), as_markdown(table), as_latex(table), render(table).replace("&#39;", "'")):
        assert "9 of 12 test targets are in the user's own history: certain misses while it" in text
    assert "explore" not in as_text(table)


def test_with_the_history_kept_repeated_and_new_targets_are_told_apart(
    staples: Dataset, tmp_path: Path
) -> None:
    said: list[str] = []
    table = judged(staples, tmp_path, said, masked=False)
    assert said[0] == "9 of 12 test targets are in the user's own history"
    assert table.apart == "NDCG@5"
    row = table.rows[0]
    kinds = row.apart("NDCG@5")
    whole = (STAPLES * kinds["repeat"] + NEW_USERS * kinds["explore"]) / (STAPLES + NEW_USERS)
    assert whole == pytest.approx(row.values["NDCG@5"].mean)
    assert kinds["repeat"] > kinds["explore"]
    assert "NDCG@5 repeat" in as_text(table)
    assert f"{kinds['explore']:.4f}" in as_text(table)
    assert "| NDCG@5 repeat | NDCG@5 explore | tries" in as_markdown(table)
    assert as_document(table)["rows"][0]["apart"]["NDCG@5"] == kinds


def test_a_column_of_zeros_has_no_best(staples: Dataset, tmp_path: Path) -> None:
    repeats = staples.interactions.events.filter(pl.col("user_id") < f"u{STAPLES:02}")
    dataset = Dataset.write(tmp_path / "zeros", staples.catalog, Interactions(repeats), source="test")
    table = judged(dataset, tmp_path / "results", [], masked=True)
    lines = as_text(table).splitlines()[3:5]
    assert all("0.0000" in line and "+" not in line and "*" not in line for line in lines)
    assert "**" not in as_markdown(table)


def test_results_of_before_still_count(staples: Dataset, tmp_path: Path) -> None:
    table = judged(staples, tmp_path, [], masked=False)
    path = table.rows[0].results[0].path
    ranks = path.with_suffix(".parquet")
    before = file_hash(ranks)
    pl.read_parquet(ranks).select(list(RANK_COLUMNS)).write_parquet(ranks)
    document = path.read_text().replace(before, file_hash(ranks))
    path.write_text(document.replace(f'    "targets_in_history": {STAPLES},\n', ""))
    assert "targets_in_history" not in path.read_text()
    found = read_result(path)
    assert not hasattr(found, "reason")
    assert build_table(tmp_path).apart == ""
