"""`unimp evaluate`: every metric of a run, on validation or test, with the ranks to check them by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unimp.tasks.requests import KEEP_HISTORY, MAY_COME_UP

SHOWN_APART = ("HR@5", "NDCG@5", "HR@10", "NDCG@10")


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder made by `unimp train`.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", help="A task of the checkpoint; default: all of them.")
    ] = None,
    split: Annotated[str, typer.Option(help="valid or test.")] = "test",
    ranks: Annotated[
        Path | None, typer.Option(help="Write user_id, target item_id and rank to this Parquet file.")
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(help="Write what every task (and reference) gave for every case to this Parquet file."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")] = None,
    keep_history: Annotated[bool | None, typer.Option(KEEP_HISTORY, help=MAY_COME_UP)] = None,
    references: Annotated[
        bool, typer.Option("--references", help="Judge each task's simple references on the same cases.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Evaluate every task of a run; ranks are over the full catalogue."""
    from unimp.evaluate.evaluation import evaluate_run
    from unimp.runs.open_run import open_run

    report = evaluate_run(
        open_run(run, data=data, device=device),
        tasks=task,
        split_name=split,
        ranks_file=ranks,
        cases_file=cases,
        exclude_history=None if keep_history is None else not keep_history,
        with_references=references,
    )
    if as_json:
        print(json.dumps(report))
        return
    for note in report["notes"]:
        print(f"note: {note}")
    for name, values in report["tasks"].items():
        print_task(name, values, report["split"])


def print_task(name: str, values: Mapping[str, Any], split: str) -> None:
    """A task's figures, its references beside them."""
    print(f"{name} ({split}, {values['cases']:,} users, {values['unscored']} unscored)")
    others = values.get("references", {})
    width = max(map(len, values["metrics"]))
    if others:
        print("  " + " " * width + "".join(f"  {name:>{max(8, len(name))}}" for name in ("UniMP", *others)))
    for metric, value in values["metrics"].items():
        cells = [
            ("UniMP", value),
            *((name, reference["metrics"].get(metric)) for name, reference in others.items()),
        ]
        print(f"  {metric:{width}}" + "".join(f"  {figure(cell):>{max(8, len(n))}}" for n, cell in cells))
    for kind, words in (("repeat", "already had"), ("explore", "new to them")):
        if kind in values:
            metrics = values[kind]["metrics"]
            print(
                f"  {values[kind]['cases']:,} users whose item was {words}: "
                + ", ".join(f"{name} {figure(metrics[name])}" for name in SHOWN_APART)
            )
    for metric, value in values.get("judge", {}).items():
        print(f"  {metric}: {value:.4f}")


def figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def register(app: typer.Typer) -> None:
    app.command()(evaluate)
