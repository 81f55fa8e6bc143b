"""A run folder: made by `train`, opened by everything else."""

from __future__ import annotations

import platform
import resource
import sys
import time
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from unimp.data.dataset import Dataset
from unimp.decode.answerer import Answerer
from unimp.decode.sources import Mixture
from unimp.errors import CheckpointError
from unimp.model.backbones.lora import merge_adapters
from unimp.model.unimp import UnimpModel
from unimp.train.checkpoint import read_json, read_tensors, write_json
from unimp.train.frozen import load_workbench, save_workbench
from unimp.train.loop import BEST, LOG, Training
from unimp.train.mixture import fit_mixtures
from unimp.train.preparation import Lesson, build_workbench, for_training, make_split, set_threads
from unimp.train.recipe import Recipe
from unimp.train.step import check_compute
from unimp.train.team import Team
from unimp.train.workbench import Workbench

FORMAT = 2
RUN, RESULT = "run.json", "result.json"


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, opened: the model, what it stands on, and the data it was trained on."""

    folder: Path
    facts: dict[str, Any]
    result: dict[str, Any]
    bench: Workbench
    model: UnimpModel
    mixtures: dict[str, Mixture]
    dataset: Dataset

    @cached_property
    def answerer(self) -> Answerer:
        """Ready for every task."""
        return self.bench.answerer(self.model, self.mixtures)


def pick_device(name: str = "auto") -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def train(
    dataset: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    device: torch.device | None = None,
    show: bool = True,
    team: Team | None = None,
) -> dict[str, Any]:
    """Train into `folder`, or go on where it stopped; returns its result (validation only, no test figure).

    With a `team` of several processes each calls this; those that do not lead return an empty result.
    CheckpointError when the folder belongs to other data or another recipe.
    """
    device, team = device or pick_device(), team or Team()
    check_compute(recipe, device)
    set_threads(recipe.train.threads, team.neighbours)
    folder.mkdir(parents=True, exist_ok=True)
    if not team.told(lambda: claim(folder, dataset, recipe)):
        return dict(read_json(folder / RESULT)) if team.leads else {}
    lesson = Lesson.of(dataset, make_split(dataset, recipe.train.split, recipe.train.seed))
    if not team.leads:
        team.told(dict)  # what the leading process prepares is in the folder now
        Training(folder, load_prepared(folder, recipe, dataset, device), lesson, device, team=team).run()
        team.close()
        return {}
    _, _, result = learn(lesson, recipe, folder, device, show=show, team=team)
    write_json(folder / RESULT, result)
    team.forget_state(folder)
    return result


def learn(
    lesson: Lesson,
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    *,
    show: bool,
    team: Team | None = None,
) -> tuple[Workbench, UnimpModel, dict[str, Any]]:
    """Prepare, train, and choose the mixture on validation; state and weights go to `folder`."""
    started, team = time.monotonic(), team or Team()
    bench = build_workbench(lesson, recipe, device=device, show_progress=show)
    save_workbench(folder, bench)
    team.told(dict)
    prepared = time.monotonic() - started
    training = Training(folder, bench, lesson, device, show=show, team=team)
    position = training.run()
    team.close()
    # A pretrained backbone is not read a second time.
    model = load_model(folder, bench, device, training.judged if bench.backbone is not None else None)
    seen = training.examination.cases[0]
    del training
    fitted = fit_mixtures(bench.answerer(model), bench.tasks, seen, recipe.structure)
    result = {
        "valid": {
            "score": position.best,
            "users": len(seen),
            "reached": {name: one.reached for name, one in fitted.items()},
        },
        "mixtures": {name: one.mixture.model_dump() for name, one in fitted.items()},
        "best_epoch": position.best_epoch,
        "epochs": position.epoch,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "learned_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "processes": team.size,
        "seconds": {"preparation": prepared, "training": position.seconds},
        "peak_memory_mib": peak_memory_mib(),
        "device": device_name(device),
        "versions": {name: metadata.version(name) for name in ("unimp", "torch", "numpy", "polars")},
    }
    return bench, model, result


def load_prepared(folder: Path, recipe: Recipe, dataset: Dataset, device: torch.device) -> Workbench:
    """What another process prepared, ready to train on."""
    bench = load_workbench(folder, recipe, dataset, device)
    return replace(bench, items=for_training(bench.items, bench.popularity, recipe, device))


def claim(folder: Path, dataset: Dataset, recipe: Recipe) -> bool:
    """Mark the folder as this run's; False when the run is already finished."""
    facts = {
        "format": FORMAT,
        "recipe": recipe.model_dump(mode="json"),
        "data": str(dataset.folder.resolve()),
        "data_hash": dataset.data_hash,
    }
    path = folder / RUN
    if not path.exists():
        if any(folder.iterdir()):
            raise CheckpointError(f"{folder}: exists and is not a run folder; choose another --out")
        write_json(path, facts)
        return True
    old = read_json(path)
    if old.get("data_hash") != dataset.data_hash:
        raise CheckpointError(
            f"{folder}: was trained on other data ({old.get('data')}, hash {old.get('data_hash')}, "
            f"now {dataset.data_hash}); choose another --out"
        )
    known = Recipe.parse(old.get("recipe", {}), str(path)).model_dump(
        mode="json"
    )  # keys added since: defaults
    if known != facts["recipe"]:
        changed = first_difference(known, facts["recipe"])
        raise CheckpointError(f"{folder}: holds a run of another recipe ({changed}); choose another --out")
    return not (folder / RESULT).exists()


def first_difference(old: Any, new: Any, path: str = "") -> str:
    """`train.lr: 0.001, now 0.002` for the first key that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *new]:
            if old.get(key) != new.get(key):
                return first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    return f"{path}: {old!r}, now {new!r}"


def load_model(
    folder: Path, bench: Workbench, device: torch.device, model: UnimpModel | None = None
) -> UnimpModel:
    """The best weights, in a new model or in the one given; CheckpointError when they belong to another."""
    tensors, facts = read_tensors(folder / BEST)
    for part, identity in bench.identities.items():
        if facts.get(part, identity) != identity:
            raise CheckpointError(
                f"{folder / BEST}: was trained with {part} {facts[part]}, the run has {part} {identity}; "
                "bring back the files that belong together, or train again"
            )
    model = (model or bench.new_model()).to(device)
    try:
        model.load_learned(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder / BEST}: does not fit its recipe ({reason}); train again") from None
    return model.eval()


def open_run(folder: Path | str, *, data: Path | str | None = None, device: str = "auto") -> TrainedRun:
    """Open a finished run; CheckpointError when it is damaged, unfinished, or its data changed."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such run folder; make one with `unimp train`")
    facts = read_json(folder / RUN)
    if facts.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: run format {facts.get('format')}, this version reads {FORMAT}")
    if not (folder / RESULT).exists():
        raise CheckpointError(
            f"{folder}: training is not finished; run the same `unimp train` again to resume"
        )
    recipe = Recipe.parse(facts["recipe"], str(folder / RUN))
    dataset = Dataset.load(data or facts["data"])
    if dataset.data_hash != facts["data_hash"]:
        raise CheckpointError(
            f"{folder}: was trained on data {facts['data_hash']}, {dataset.folder} is {dataset.data_hash}; "
            "name the right folder with --data, or train again"
        )
    target = pick_device(device)
    bench = load_workbench(folder, recipe, dataset, target)
    result = read_json(folder / RESULT)
    model = load_model(folder, bench, target)
    if recipe.backbone.train == "lora":
        merge_adapters(model.decoder)
    mixtures = {name: Mixture(**values) for name, values in result["mixtures"].items()}
    return TrainedRun(folder, facts, result, bench, model, mixtures, dataset)


def peak_memory_mib() -> float:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"


__all__ = ["BEST", "LOG", "TrainedRun", "open_run", "train"]
