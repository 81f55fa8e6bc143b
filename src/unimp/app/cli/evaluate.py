"""`unimp evaluate`: every metric of a run, on validation or test, with the ranks to check them by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder made by `unimp train`.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", help="A task of the checkpoint; default: all of them.")
    ] = None,
    split: Annotated[str, typer.Option(help="valid or test.")] = "test",
    ranks: Annotated[
        Path | None, typer.Option(help="Write user_id, target item_id and rank to this Parquet file.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")] = None,
    keep_history: Annotated[
        bool, typer.Option("--keep-history", help="Let items of the user's own history be ranked too.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Evaluate a run: HR, NDCG and MRR at 3, 5 and 10 over the full catalogue."""
    from unimp.train.evaluation import evaluate_run
    from unimp.train.run import open_run

    report = evaluate_run(
        open_run(run, data=data, device=device),
        tasks=task,
        split_name=split,
        ranks_file=ranks,
        exclude_history=not keep_history,
    )
    if as_json:
        print(json.dumps(report))
        return
    for name, values in report["tasks"].items():
        print(f"{name} ({report['split']}, {values['cases']:,} users, {values['unscored']} unscored)")
        for metric, value in values["metrics"].items():
            print(f"  {metric:8} {value:.4f}")


def register(app: typer.Typer) -> None:
    app.command()(evaluate)
