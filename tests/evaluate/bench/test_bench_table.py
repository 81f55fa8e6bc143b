import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from unimp.baselines import METHODS
from unimp.core.errors import DataError
from unimp.data.dataset import Dataset
from unimp.evaluate.bench.jobs import plan_jobs
from unimp.evaluate.bench.present import as_document, as_text
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.evaluate.bench.publish import as_latex, as_markdown, latex
from unimp.evaluate.bench.report import write_report
from unimp.evaluate.bench.runner import run_jobs
from unimp.evaluate.bench.table import build_table, distinguishing, user_values
from unimp.testing.world import toy_world


def only(folder: Path, method: str) -> Path:
    return next(path for path in folder.glob(f"{method}-????????-seed0.json"))


def test_rows_come_best_first_with_what_tells_them_apart(results: Path) -> None:
    table = build_table(results)
    labels = [row.label for row in table.rows]
    assert labels[0] == "ItemKNN with recency"
    assert labels[-1] == "Pop"
    assert set(labels[1:3]) == {"ItemKNN (neighbours=None)", "ItemKNN (neighbours=3)"}
    means = [row.values["NDCG@5"].mean for row in table.rows]
    assert means == sorted(means, reverse=True)
    assert not table.rejected


def test_figures_are_those_of_the_result_files(results: Path) -> None:
    for row in build_table(results).rows:
        stored = json.loads(row.results[0].path.read_text())
        for name, value in row.values.items():
            assert value.mean == pytest.approx(stored["metrics"][name])
            assert value.low <= value.mean <= value.high


def test_the_lead_is_paired(results: Path) -> None:
    table = build_table(results)
    lead = table.leads["NDCG@5"]
    assert (lead.best, lead.runner_up) == (0, 1)
    values = [user_values(table.rows[place].results, "NDCG@5") for place in (0, 1)]
    assert lead.comparison.difference.mean == pytest.approx((values[0] - values[1]).mean())
    assert lead.significant
    assert "*" in as_text(table).splitlines()[3]


def test_the_next_method_is_not_another_row_of_the_best_one(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "two")
    best = build_table(results).rows[0].method
    for path in (tmp_path / "two").glob(f"{best}-*"):
        path.unlink()
    table = build_table(tmp_path / "two")
    assert [row.method for row in table.rows[:2]] == ["itemknn", "itemknn"]
    for lead in table.leads.values():
        assert table.rows[lead.best].method != table.rows[lead.runner_up].method
    for path in (tmp_path / "two").glob("pop-*"):
        path.unlink()
    assert {(lead.best, lead.runner_up) for lead in build_table(tmp_path / "two").leads.values()} <= {
        (0, 1),
        (1, 0),
    }


def test_settings_in_tables_tell_rows_apart_too() -> None:
    plain = {"recipe": "small", "settings": {"train": {"threads": 1}}}
    other = {"recipe": "small", "settings": {"train": {"threads": 1}, "content": {"encoder": "x"}}}
    assert distinguishing(plain, [plain, other]) == ""
    assert distinguishing(other, [plain, other]) == " (encoder=x)"
    assert distinguishing({"a": {"b": 1}}, [{"a": {"b": 1}}, {"a": {"b": 2}}]) == " (b=1)"
    unset = {"run": None, "train": {"threads": 1}}
    assert distinguishing(unset, [unset, {"run": "x", "train": {"threads": 2}}]) == ""
    older, newer = {"lr": 1}, {"lr": 1, "average": 0.0}
    assert distinguishing(newer, [older, newer]) == ""  # the setting came later, and is off
    assert distinguishing({"lr": 1, "average": 0.9}, [older]) == " (average=0.9)"
    assert distinguishing({"teacher_share": 0.9}, [{"teacher_share": 0.9}]) == " (teacher_share=0.9)"


def test_markdown_and_latex_say_what_the_text_says(results: Path) -> None:
    table = build_table(results)
    shown = as_markdown(table).splitlines()
    head, rule, *rows = [line.strip("|").split("|") for line in shown if line.startswith("|")]
    assert {len(row) for row in rows} == {len(head)} == {len(rule)}
    assert len(rows) == len(table.rows)
    best = f"**{table.rows[0].values['NDCG@5'].mean:.4f}**\\*"
    assert rows[0][1 + table.metrics.index("NDCG@5")].strip() == best
    assert any("paired sign-flip test" in line for line in shown)
    printed = as_latex(table).splitlines()
    (columns,) = (line for line in printed if "begin{tabular}" in line)
    body = [line for line in printed if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {columns.count("r") - 1}  # one is in `tabular`
    assert rf"\textbf{{{table.rows[0].values['NDCG@5'].mean:.4f}}}$^{{*}}$" in body[1]
    assert latex("50 % of a_b & – #1") == r"50 \% of a\_b \& -- \#1"


def test_a_file_that_is_left_out_is_named_there_too(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "all")
    only(tmp_path / "all", "pop").write_text("{")
    table = build_table(tmp_path / "all")
    for text in (as_markdown(table), as_latex(table)):
        assert "left out: pop-" in text


def test_seeds_are_averaged_user_by_user(shop: Dataset, tmp_path: Path) -> None:
    settings = {"sasrec": {"width": 8, "epochs": 2, "threads": 1, "lr": 0.01}}
    run_jobs(shop, plan_jobs(METHODS, ["sasrec"], seeds=(0, 1, 2), overrides=settings), tmp_path)
    (row,) = build_table(tmp_path).rows
    assert len(row.results) == 3
    means = [stored.result.metrics["HR@10"] for stored in row.results]
    assert len(set(means)) > 1
    assert row.values["HR@10"].mean == pytest.approx(sum(means) / 3)


def test_one_row_has_no_lead(shop: Dataset, tmp_path: Path) -> None:
    run_jobs(shop, plan_jobs(METHODS, ["pop"]), tmp_path)
    table = build_table(tmp_path)
    assert not table.leads
    assert "+" in as_text(table)
    write_report(table, tmp_path / "report.html")


def damage_json(path: Path) -> None:
    path.write_text(path.read_text()[:100])


def drop_ranks(path: Path) -> None:
    path.with_suffix(".parquet").unlink()


def change_ranks(path: Path) -> None:
    ranks = pl.read_parquet(path.with_suffix(".parquet"))
    ranks.with_columns(pl.lit(1.0).alias("rank")).write_parquet(path.with_suffix(".parquet"))


def change_metric(path: Path) -> None:
    document = json.loads(path.read_text())
    document["metrics"]["HR@5"] = 0.99
    path.write_text(json.dumps(document))


def change_config(path: Path) -> None:
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))


def other_format(path: Path) -> None:
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (damage_json, "not a result file, or damaged"),
        (drop_ranks, "its ranks are missing"),
        (change_ranks, "its ranks have changed"),
        (change_metric, "HR@5 is not what its ranks give"),
        (change_config, "its content belongs in pop-"),
        (other_format, "format 99, this version reads 1"),
    ],
)
def test_a_wrong_file_is_named_and_left_out(results: Path, harm, reason: str) -> None:
    path = only(results, "pop")
    harm(path)
    table = build_table(results)
    assert len(table.rows) == 3
    (rejected,) = table.rejected
    assert rejected.path == path
    assert reason in rejected.reason
    assert f"left out: {path.name}: " in as_text(table)
    assert as_document(table)["left_out"][0]["file"] == path.name
    write_report(table, results / "report.html")
    assert path.name in (results / "report.html").read_text()


def test_results_of_other_data_are_foreign(results: Path, tmp_path: Path) -> None:
    other = toy_world(seed=1).write(tmp_path / "other")
    (outcome,) = run_jobs(other, plan_jobs(METHODS, ["pop"]), results)
    table = build_table(results)
    assert [(entry.path, entry.reason[:17]) for entry in table.rejected] == [
        (outcome.path, "other data (other")
    ]


def test_results_of_another_protocol_are_foreign(results: Path, shop: Dataset) -> None:
    rules = BenchmarkProtocol(exclude_history=False)
    run_jobs(shop, plan_jobs(METHODS, ["pop"]), results, protocol=rules)
    (rejected,) = build_table(results).rejected
    assert "other protocol" in rejected.reason


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such result folder"):
        build_table(tmp_path / "absent")
    with pytest.raises(DataError, match="no results; run `unimp bench run`"):
        build_table(tmp_path)
    (tmp_path / "notes.json").write_text("[]")
    with pytest.raises(DataError, match=r"notes\.json: not a result file"):
        build_table(tmp_path)


def test_the_document_is_plain_json(results: Path) -> None:
    document = json.loads(json.dumps(as_document(build_table(results)), allow_nan=False))
    assert document["rows"][0]["method"] == "itemknn-recency"
    assert document["leads"]["HR@5"]["p_value"] > 0


def test_the_report_asks_for_nothing_outside_itself(results: Path) -> None:
    table = build_table(results)
    write_report(table, results / "a.html")
    write_report(table, results / "b.html")
    html = (results / "a.html").read_text()
    assert html == (results / "b.html").read_text()
    assert html.count("<svg") == 4
    assert "currentColor" in html
    assert "prefers-color-scheme: dark" in html
    for row in table.rows:
        assert row.label in html
    # The W3C names in SVG are identities, not addresses that a browser opens.
    assert not re.findall(r"""(?:src|href)=["'](?!#)|url\((?!#|["']?#)|@import""", html)


def test_last_n_has_rows_of_users(shop: Dataset, tmp_path: Path) -> None:
    protocol = BenchmarkProtocol.parse({"split": "last-n", "targets_per_user": 2}, "test")
    run_jobs(shop, plan_jobs(METHODS, ["pop", "itemknn"]), tmp_path, protocol=protocol)
    table = build_table(tmp_path)
    row = table.rows[0]
    values = user_values(row.results, "NDCG@5")
    assert 2 * len(values) == table.data.test_cases
    assert row.values["NDCG@5"].mean == pytest.approx(row.results[0].result.metrics["NDCG@5"], abs=1e-12)
    assert table.protocol.cases_per_user == 2
    assert not table.rejected
