"""What each part of the objective and the model is worth, and many tasks against one at equal compute.

    python benchmarks/quality/ablation.py run DATA --out results/ablation/NAME [--recipe NAME] [--set k=v]
    python benchmarks/quality/ablation.py table results/ablation/NAME

`run` trains every variant (finished ones are kept) and judges the model alone, without mixtures, on the test
cases. A single-task variant gets as many steps as the multi-task model had in all. `table` compares each
variant with the full model case by case: difference of the headline's mean, with its 95 % bootstrap interval.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from variants import load_variants, save_variant, variants_command

from unimp.core.devices import pick_device
from unimp.data.dataset import Dataset
from unimp.evaluate.evaluation import document
from unimp.runs.open_run import open_run
from unimp.runs.recipe import Recipe, load_recipe
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.train.batches import TrainingSentences
from unimp.train.preparation import build_artifacts
from unimp.train.training_run import train

FULL = "full"
VARIANTS: dict[str, list[str]] = {
    FULL: [],
    "no context reconstruction": ["objective.item=0", "objective.attribute=0", "objective.rating=0"],
    "re-weighting, gamma 2": ["objective.gamma=2"],
    "re-weighting, gamma 2, not detached": ["objective.gamma=2", "objective.detach=false"],
    "no cross-attention": ["model.cross_attention=false"],
    "answers see their own picture only": ['sentence.answers_see="own"'],
    "no item content": ["content.text=0", "content.picture=false"],
}
RESAMPLES = 2000


def steps_per_epoch(dataset: Dataset, recipe: Recipe) -> int:
    training_split = TrainingSplit.of(dataset, make_split(dataset, recipe.train.split, recipe.train.seed))
    artifacts = build_artifacts(training_split, recipe, device=pick_device(), show_progress=False)
    return len(TrainingSentences(artifacts, training_split.train).plan(0))


def variants(dataset: Dataset, name: str, settings: list[str]) -> dict[str, Recipe]:
    """The recipes by name; single-task ones with the multi-task model's number of steps."""
    full = load_recipe(name, settings)
    steps = steps_per_epoch(dataset, full) * full.train.epochs
    recipes = {label: load_recipe(name, [*settings, *changes]) for label, changes in VARIANTS.items()}
    for task in full.tasks:
        alone = full.model_copy(update={"tasks": (task,)})
        epochs = max(1, round(steps / steps_per_epoch(dataset, alone)))
        train_config = alone.train.model_copy(update={"epochs": epochs, "patience": epochs})
        recipes[f"only {task}"] = alone.model_copy(update={"train": train_config})
    return recipes


def run(data: Path, out: Path, name: str, settings: list[str], only: list[str]) -> None:
    dataset = Dataset.load(data)
    out.mkdir(parents=True, exist_ok=True)
    for label, recipe in variants(dataset, name, settings).items():
        stem = label.replace(", ", "-").replace(" ", "-")
        if (out / f"{stem}.json").exists() or (only and label not in only):
            continue
        print(f"{label}: {recipe.train.epochs} epochs", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            result = train(dataset, recipe, Path(folder) / "run", show=False)
            judge(label, Path(folder) / "run", result, out / stem)


def judge(label: str, folder: Path, result: dict[str, Any], place: Path) -> None:
    opened = open_run(folder)
    split = make_split(
        opened.dataset, opened.artifacts.recipe.train.split, opened.artifacts.recipe.train.seed
    )
    answerer = opened.artifacts.answerer(opened.model)
    report: dict[str, Any] = {
        "variant": label,
        "data_hash": opened.dataset.data_hash,
        "recipe": opened.facts["recipe"],
        "seconds": result["seconds"],
        "device": result["device"],
        "versions": result["versions"],
        "tasks": {},
    }
    columns: dict[str, Any] = {}
    for task in opened.artifacts.tasks:
        score = task.score(answerer.decoders[task.name], split.test)
        report["tasks"][task.name] = document(score, task) | {"lower_is_better": task.lower_is_better}
        if score.values is not None:
            columns[task.name] = score.values.astype(np.float32)
    save_variant(place, report, columns)


def table(out: Path) -> None:
    print("\n".join(table_lines(out)))


def table_lines(out: Path) -> list[str]:
    """Markdown: each variant's headline per task, and its difference from the full model."""
    reports = load_variants(out, FULL)
    full, values = reports.pop(FULL)
    tasks = list(full["tasks"])
    lines = ["| variant | " + " | ".join(f"{t} ({full['tasks'][t]['headline']})" for t in tasks) + " |"]
    lines.append("|---" * (len(tasks) + 1) + "|")
    own = [f"{full['tasks'][t]['metrics'][full['tasks'][t]['headline']]:.4f}" for t in tasks]
    lines.append(f"| {FULL} | " + " | ".join(own) + " |")
    for label, (report, cases) in reports.items():
        cells = [cell(report["tasks"].get(t), cases, values, t) for t in tasks]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def cell(section: dict[str, Any] | None, cases: pl.DataFrame, full: pl.DataFrame, task: str) -> str:
    """`value (difference, low…high)`; squared errors for RMSE, where above zero is worse."""
    if section is None:
        return ""
    text = f"{section['metrics'][section['headline']]:.4f}"
    if task not in cases.columns:
        return text
    difference = cases[task].to_numpy() - full[task].to_numpy()
    difference = difference[~np.isnan(difference)]
    rng = np.random.default_rng(0)
    means = [difference[rng.integers(len(difference), size=len(difference))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{text} ({difference.mean():+.4f}, {low:+.4f}…{high:+.4f})"


if __name__ == "__main__":
    variants_command(__doc__, "ablation", run, table)
