"""Second stages in the benchmark: one fit, several rows, blocks that are never compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

import pytest

from unimp.baselines import METHODS, MethodEntry
from unimp.baselines.baseline import Baseline, TrainingData
from unimp.baselines.pop import Pop
from unimp.baselines.sasrec import SASRec
from unimp.data.dataset import Dataset
from unimp.evaluate.bench.jobs import Outcome, plan_jobs
from unimp.evaluate.bench.present import as_document, as_text
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.evaluate.bench.publish import as_latex, as_markdown
from unimp.evaluate.bench.report import write_report
from unimp.evaluate.bench.result import StoredResult, read_result, result_name
from unimp.evaluate.bench.runner import run_jobs
from unimp.evaluate.bench.second_stage import ALONE, OWN_MIXTURE, FusionRecord, block_order
from unimp.evaluate.bench.table import build_table
from unimp.fusion.config import FusionConfig

FUSIONS = (FusionConfig(kind="none"), FusionConfig(kind="closed"))


@pytest.fixture(scope="module")
def folder(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pop and ItemKNN, alone and with the closed fusion."""
    path = tmp_path_factory.mktemp("fused")
    run_jobs(shop, plan_jobs(METHODS, ["pop", "itemknn"]), path, fusions=FUSIONS)
    return path


def test_a_method_is_fitted_once_for_all_fusions(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []
    learn = Pop.learn
    monkeypatch.setattr(Pop, "learn", lambda self, *a, **k: (fits.append(1), learn(self, *a, **k))[1])
    outcomes = run_jobs(shop, plan_jobs(METHODS, ["pop"]), tmp_path, fusions=FUSIONS)
    assert [outcome.fusion for outcome in outcomes] == ["none", "closed"]
    assert len(fits) == 1
    again = run_jobs(shop, plan_jobs(METHODS, ["pop"]), tmp_path, fusions=FUSIONS)
    assert all(outcome.done_before for outcome in again)
    assert len(fits) == 1


def test_a_method_may_learn_again_with_the_validation_items(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = []
    learn = SASRec.learn

    def noting(self: SASRec, data: TrainingData, **how: Any) -> None:
        learn(self, data, **how)
        logs.append((data.train.num_events, len(data.valid), self.config.epochs, self.best_epoch))

    monkeypatch.setattr(SASRec, "learn", noting)
    settings = {"width": 8, "epochs": 4, "threads": 1, "lr": 0.01}
    fusions = [FusionConfig(), *(FusionConfig(kind="closed", refit_method=again) for again in (False, True))]
    jobs = plan_jobs(METHODS, ["sasrec"], overrides={"sasrec": settings})
    outcomes = run_jobs(shop, jobs, tmp_path, fusions=fusions)
    (events, cases, epochs, best), second = logs
    assert (cases, epochs) == (200, 4)
    assert second == (events + 200, 0, best, best)
    blocks = [stored.result.block for stored in map(read_result, paths(outcomes)) if is_stored(stored)]
    assert blocks == [ALONE, "closed fusion", "closed fusion, refitted methods"]
    ranks = [stored.rank_values() for stored in map(read_result, paths(outcomes)) if is_stored(stored)]
    assert (ranks[1] != ranks[2]).any()


def test_a_method_that_cannot_learn_again_is_named(shop: Dataset, tmp_path: Path) -> None:
    entry = MethodEntry("unimp.baselines.pop:Pop", "Other", "", seeded=False)
    (job,) = plan_jobs({"other": entry}, ["other"])
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(Baseline, "refitted")
        fusions = [FusionConfig(kind="closed", refit_method=True)]
        (outcome,) = run_jobs(shop, [job], tmp_path, fusions=fusions)
    assert "other: has no `refitted`" in outcome.problem


def paths(outcomes: Sequence[Outcome]) -> list[Path]:
    return [outcome.path for outcome in outcomes if outcome.path is not None]


def is_stored(found: object) -> TypeGuard[StoredResult]:
    return isinstance(found, StoredResult)


def test_the_result_file_tells_the_fusion(folder: Path) -> None:
    found = [read_result(path) for path in sorted(folder.glob("*.json"))]
    results = [one.result for one in found if isinstance(one, StoredResult)]
    assert len(results) == len(found) == 4
    by_kind = {(one.method, one.fusion.kind): one for one in results if one.fusion is not None}
    closed = by_kind["itemknn", "closed"].fusion
    assert closed is not None
    assert closed.settings["kind"] == "closed"
    assert closed.details["reached"]
    assert by_kind["itemknn", "none"].block == ALONE
    assert by_kind["itemknn", "none"].name != by_kind["itemknn", "closed"].name


def test_a_result_from_before_counts_as_none(folder: Path) -> None:
    """Its name, which is the key to its content, stays what it was."""
    found = [read_result(path) for path in folder.glob("pop-*.json")]
    (plain,) = [one.result for one in found if isinstance(one, StoredResult) and one.result.block == ALONE]
    old = plain.model_copy(update={"fusion": None})
    assert old.block == ALONE
    assert old.name == plain.name
    assert old.model_copy(update={"details": {"mixture": {"recommendation": {}}}}).block == OWN_MIXTURE


def test_settings_of_a_fusion_are_part_of_the_name_and_of_the_block() -> None:
    usual, other = (FusionConfig(kind="learned", candidates=count) for count in (100, 50))
    records = [FusionRecord(kind=one.kind, settings=one.model_dump(mode="json")) for one in (usual, other)]
    assert records[0].words() == "learned fusion"
    assert records[1].words() == "learned fusion (candidates=50)"
    names = {result_name("pop", {}, BenchmarkProtocol(), "x", 0, None, record) for record in records}
    assert len(names) == 2


def test_blocks_come_in_order_and_are_not_compared(folder: Path) -> None:
    table = build_table(folder)
    assert table.blocks == (ALONE, "closed fusion")
    assert [row.block for row in table.rows] == [ALONE, ALONE, "closed fusion", "closed fusion"]
    for block in table.blocks:
        rows = [place for place, row in enumerate(table.rows) if row.block == block]
        assert table.best("NDCG@5", block) == rows[0]
        for lead in table.leads_of(block).values():
            assert {lead.best, lead.runner_up} == set(rows)
    assert (
        block_order(ALONE)
        < block_order("closed fusion")
        < block_order("learned fusion")
        < block_order(OWN_MIXTURE)
    )


def test_every_form_of_the_table_shows_the_blocks(folder: Path, tmp_path: Path) -> None:
    table = build_table(folder)
    lines = as_text(table).splitlines()
    heads = [line for line in lines if line.startswith("— ")]
    assert heads == ["— models alone", "— closed fusion"]
    assert "best and tests within a block" in lines
    marked = [line for line in lines if line.startswith(("Pop", "ItemKNN")) and ("*" in line or "+" in line)]
    assert len(marked) >= 2  # a best of each block
    assert "| — closed fusion |" in as_markdown(table)
    assert "--- closed fusion & " in as_latex(table)
    document = json.loads(json.dumps(as_document(table), allow_nan=False))
    assert {row["block"] for row in document["rows"]} == {ALONE, "closed fusion"}
    assert set(document["later_leads"]) == {"closed fusion"}
    write_report(table, tmp_path / "report.html")
    assert "closed fusion" in (tmp_path / "report.html").read_text()


def test_one_block_of_models_alone_looks_as_ever(results: Path) -> None:
    assert "— " not in "\n".join(as_text(build_table(results)).splitlines()[1:4])
