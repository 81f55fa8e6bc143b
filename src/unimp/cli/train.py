"""`unimp train`: a data folder and a recipe in, a run folder out; resumes where it stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimp.cli.engine import Engine, check_engine
from unimp.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from unimp.data.dataset import Dataset


# One parameter per option makes it long; the body is short.
def train(
    data: Annotated[Path, typer.Option(help="Data folder made by `unimp data import`.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; an unfinished one is resumed.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Name of a packaged recipe, or path of a TOML file; without it, or small: the data decide."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe key: train.lr=1e-4. Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    engine: Annotated[Engine, typer.Option(help="local, or ray: workers on a cluster.")] = Engine.local,
    workers: Annotated[
        int | None, typer.Option(min=1, help="ray: processes that share the weights and the batches (1).")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="ray: HOST:PORT of the cluster; default: one of this machine.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print what the data speak for, and why; train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False,
) -> None:
    """Train UniMP on a data folder. Only validation is looked at; `unimp evaluate` reports the test.

    Started by torchrun, or with --engine ray, each process takes its share of the weights and of every step's
    batches.
    """
    # Long by its options, which typer reads from the signature; the work is in the functions it calls.
    from unimp.runs.recipe import BASE, load_recipe

    check_engine(engine, workers=workers, address=address)
    if out is None and not explain:
        raise ConfigError("--out: names no run folder; give one, or --explain to see what would be chosen")
    fixed = recipe not in (None, BASE)
    if explain and fixed:
        raise ConfigError(f"--explain: recipe {recipe} leaves nothing to choose; leave --recipe out")
    chosen = load_recipe(recipe, settings or ()) if recipe and fixed else None
    notes: list[str] = []
    from unimp.data.dataset import Dataset

    dataset = Dataset.load(data)
    place = device_of(device, engine)
    if explain:
        explained(dataset, place, settings or (), as_json=as_json)
        return
    assert out is not None
    if chosen is None:
        from unimp.runs.choosing import DataFacts, choice_lines, chosen_recipe

        facts = DataFacts.of(dataset, place)
        chosen, notes = chosen_recipe(facts, settings or ()), choice_lines(facts, settings or ())
    if engine is Engine.ray:
        from unimp.scale.training import train_on_cluster, training_job

        job = training_job(data, chosen, out, place, workers or 1)
        result = train_on_cluster(job, address, notes=notes)
    else:
        from unimp.train.distributed.processes import find_process_group
        from unimp.train.training_run import train as train_run

        process_group, place = find_process_group(place)
        result = train_run(dataset, chosen, out, device=place, process_group=process_group, notes=notes)
        if not process_group.is_main:
            return
    if as_json:
        print(json.dumps({"run": str(out), **result}))
        return
    print_result(out, result)


def device_of(name: str, engine: Engine) -> torch.device:
    """Where steps run; that of a cluster's workers need not be on this machine."""
    import torch

    from unimp.core.devices import pick_device

    return torch.device("cuda") if engine is Engine.ray and name == "cuda" else pick_device(name)


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
