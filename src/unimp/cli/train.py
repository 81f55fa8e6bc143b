"""`unimp train`: a data folder and a recipe in, a run folder out; resumes where it stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimp.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from unimp.data.dataset import Dataset


def train(
    data: Annotated[Path, typer.Option(help="Data folder made by `unimp data import`.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; an unfinished one is resumed.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Name of a packaged recipe, or a path to a TOML file; without it the data decide."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe key: train.lr=1e-4. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    explain: Annotated[
        bool, typer.Option("--explain", help="Print what the data speak for, and why; train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False,
) -> None:
    """Train UniMP on a data folder. Only validation is looked at; `unimp evaluate` reports the test.

    Started by torchrun, each process takes its share of the weights and of every step's batches.
    """
    # Long by its options, which typer reads from the signature; the work is in the functions it calls.
    from unimp.runs.recipe import load_recipe

    if out is None and not explain:
        raise ConfigError("--out: names no run folder; give one, or --explain to see what would be chosen")
    if explain and recipe is not None:
        raise ConfigError(f"--explain: recipe {recipe} leaves nothing to choose; leave --recipe out")
    chosen = load_recipe(recipe, settings or ()) if recipe is not None else None
    notes: list[str] = []
    from unimp.core.devices import pick_device
    from unimp.data.dataset import Dataset

    dataset = Dataset.load(data)
    if explain:
        explained(dataset, pick_device(device), settings or (), as_json=as_json)
        return
    from unimp.train.distributed.processes import find_process_group
    from unimp.train.training_run import train as train_run

    assert out is not None
    process_group, place = find_process_group(pick_device(device))
    if chosen is None:
        from unimp.runs.choosing import DataFacts, choice_lines, chosen_recipe

        facts = DataFacts.of(dataset, place)
        chosen, notes = chosen_recipe(facts, settings or ()), choice_lines(facts, settings or ())
    result = train_run(dataset, chosen, out, device=place, process_group=process_group, notes=notes)
    if not process_group.is_main:
        return
    if as_json:
        print(json.dumps({"run": str(out), **result}))
        return
    print_result(out, result)


def print_result(out: Path, result: dict[str, Any]) -> None:
    """What a training found on validation, and what it cost."""
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
    told = result["fusion"].get("valid NDCG@5")
    if told is not None:
        chosen = "the ranker" if result["fusion"]["kind"] == "learned" else "the mixture"
        figures = f"mixed {told['closed']:.4f}, learned ranker {told['learned']:.4f}"
        print(f"  second stage   {figures}: {chosen} answers")
    print(f"seconds        {seconds['preparation']:.0f} preparing, {seconds['training']:.0f} training")
    print(f"peak memory    {result['peak_memory_mib']:,.0f} MiB")


def explained(dataset: Dataset, place: torch.device, settings: Sequence[str], *, as_json: bool) -> None:
    """Print the choices that a data set speaks for."""
    from unimp.runs.choosing import DataFacts, choice_lines, choices, chosen_recipe

    facts = DataFacts.of(dataset, place)
    recipe = chosen_recipe(facts, settings)
    if as_json:
        rows = [asdict(choice) for choice in choices(facts)]
        print(json.dumps({"facts": asdict(facts), "choices": rows, "recipe": recipe.model_dump(mode="json")}))
        return
    print("\n".join(choice_lines(facts, settings)))


def register(app: typer.Typer) -> None:
    app.command()(train)
