"""`unimp train`: a data folder and a recipe in, a run folder out; resumes where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[Path, typer.Option(help="Data folder made by `unimp data import`.")],
    out: Annotated[Path, typer.Option(help="Run folder; an unfinished one is resumed.")],
    recipe: Annotated[
        str, typer.Option(help="Name of a packaged recipe, or a path to a TOML file.")
    ] = "small",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe key: train.lr=1e-4. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False,
) -> None:
    """Train UniMP on a data folder. Only validation is looked at; `unimp evaluate` reports the test.

    Started by torchrun, each process takes its share of the weights and of every step's batches.
    """
    from unimp.runs.recipe import load_recipe

    chosen = load_recipe(recipe, settings or ())
    from unimp.core.devices import pick_device
    from unimp.data.dataset import Dataset
    from unimp.train.distributed.processes import find_process_group
    from unimp.train.training_run import train as train_run

    process_group, place = find_process_group(pick_device(device))
    result = train_run(Dataset.load(data), chosen, out, device=place, process_group=process_group)
    if not process_group.is_main:
        return
    if as_json:
        print(json.dumps({"run": str(out), **result}))
        return
    valid, seconds = result["valid"], result["seconds"]
    print(f"run            {out}")
    print(f"parameters     {result['parameters']:,}")
    print(f"best epoch     {result['best_epoch']} of {result['epochs']}")
    print(f"valid score    {valid['score']:.4f} on {valid['users']:,} users (the model alone)")
    for task, fusion_weights in result["mixtures"].items():
        steps = list(valid["reached"][task].values())
        shares = ", ".join(
            f"{name} {share['weight']:g}"
            + (f" ({share['recency']:g} a step)" if share["recency"] < 1 else "")
            for name, share in fusion_weights["shares"].items()
        )
        print(f"  {task:15}alone {steps[0]:.4f}, mixed {steps[-1]:.4f}: {shares or 'nothing'}")
    print(f"seconds        {seconds['preparation']:.0f} preparing, {seconds['training']:.0f} training")
    print(f"peak memory    {result['peak_memory_mib']:,.0f} MiB")


def register(app: typer.Typer) -> None:
    app.command()(train)
