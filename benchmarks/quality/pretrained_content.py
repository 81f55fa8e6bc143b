"""What pretrained encoders of item text and pictures are worth to the compact decoder, against from nothing.

    python benchmarks/quality/pretrained_content.py run DATA --out results/pretrained/NAME --recipe NAME
    python benchmarks/quality/pretrained_content.py table results/pretrained/NAME

`run` trains the recipe once per variant, which differ in what the items' content is read by and in nothing
else, and judges recommendation on the test cases: the model alone, and with validation's mixture.
It resumes: a finished variant is kept, a killed one goes on where it stopped. A picture or a text is encoded
once, for all variants. `table` compares each variant with "from nothing" user by user: difference of the mean
NDCG@5 with its 95 % bootstrap interval and the p-value of a paired sign-flip test.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from variants import load_variants, save_variant, variants_command

from unimp.data.dataset import Dataset
from unimp.evaluate.bench.significance import compare
from unimp.evaluate.evaluation import document
from unimp.inference.score_sources import FusionWeights
from unimp.runs.open_run import open_run
from unimp.runs.recipe import load_recipe
from unimp.runs.training_split import make_split
from unimp.train.training_run import train

TEXT, PICTURES = "package:minilm-l6", "package:efficientnet-lite0"
NOTHING = "from nothing"
SENTENCES = [f"content.encoder={TEXT}", "content.encoder_width=128"]
GRID = [f"vision.encoder={PICTURES}", "vision.tokens=9"]
TEXTS: dict[str, list[str]] = {
    "pretrained text": [*SENTENCES, "content.text=0"],
    "pretrained text beside TF-IDF": SENTENCES,
}
SEEING: dict[str, list[str]] = {
    "pretrained pictures": GRID,
    "both pretrained": [*GRID, *SENTENCES, "content.text=0"],
}
KINDS = ("alone", "mixed")


def variants(dataset: Dataset) -> dict[str, list[str]]:
    """What each sets in the recipe; pictures only where there are any."""
    pictures = any(dataset.catalog.picture_references)
    return {NOTHING: [], **TEXTS, **(SEEING if pictures else {})}


def run(data: Path, out: Path, name: str, settings: list[str], only: list[str]) -> None:
    dataset = Dataset.load(data)
    out.mkdir(parents=True, exist_ok=True)
    for label, changes in variants(dataset).items():
        place = out / label.replace(" ", "-")
        if place.with_suffix(".json").exists() or (only and label not in only):
            continue
        print(label, file=sys.stderr, flush=True)
        recipe = load_recipe(name, [*changes, *settings])
        folder = out / "running" / place.name
        result = train(dataset, recipe, folder)
        judge(label, folder, result, place)
        shutil.rmtree(folder.parent)


def judge(label: str, folder: Path, result: dict[str, Any], place: Path) -> None:
    """Write the metrics, and NDCG@5 of every test case."""
    opened = open_run(folder)
    artifacts = opened.artifacts
    split = make_split(opened.dataset, artifacts.recipe.train.split, artifacts.recipe.train.seed)
    task = next(task for task in artifacts.tasks if task.name == "recommendation")
    visual = artifacts.items.visual_IVE
    report: dict[str, Any] = {
        "variant": label,
        "data_hash": opened.dataset.data_hash,
        "recipe": opened.facts["recipe"],
        "visual_tokens": None if visual is None else list(visual.shape[1:]),
        "text_width": artifacts.items.content["text"].shape[1] if "text" in artifacts.items.content else None,
        "parameters": result["parameters"],
        "best_epoch": result["best_epoch"],
        "seconds": result["seconds"],
        "device": result["device"],
        "versions": result["versions"],
    }
    columns = {}
    for kind, weights_by_task in zip(
        KINDS, ({"recommendation": FusionWeights()}, opened.weights_by_task), strict=True
    ):
        answerer = artifacts.answerer(opened.model, weights_by_task)
        score = task.score(answerer.decoders[task.name], split.test)
        assert score.values is not None
        report[kind] = document(score, task)
        columns[kind] = score.values.astype(np.float32)
    save_variant(place, report, columns)


def table(out: Path) -> None:
    reports = load_variants(out, NOTHING)
    _, base = reports[NOTHING]
    order = [NOTHING, *(label for label in (*TEXTS, *SEEING) if label in reports)]
    print("| content | model alone: NDCG@5 | gain | with the mixture: NDCG@5 | gain |")
    print("|---|---|---|---|---|")
    for label in order:
        report, cases = reports[label]
        cells = [
            text
            for kind in KINDS
            for text in (
                f"{report[kind]['metrics']['NDCG@5']:.4f}",
                "" if label == NOTHING else gain(cases, base, kind),
            )
        ]
        print(f"| {label} | " + " | ".join(cells) + " |")


def gain(cases: pl.DataFrame, base: pl.DataFrame, kind: str) -> str:
    """`+0.0012 (-0.0003…+0.0027, p 0.11)`."""
    found = compare(cases[kind].cast(pl.Float64).to_numpy(), base[kind].cast(pl.Float64).to_numpy())
    span = found.difference
    return f"{span.mean:+.4f} ({span.low:+.4f}…{span.high:+.4f}, p {found.p_value:.2g})"


if __name__ == "__main__":
    variants_command(__doc__, "small", run, table)
