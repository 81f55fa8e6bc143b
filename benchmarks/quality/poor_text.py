"""What pictures are worth where a catalogue has little text: its type and its name alone, or no text at all.

    python benchmarks/quality/poor_text.py run DATA --out results/poor-text/hm
    python benchmarks/quality/poor_text.py table results/poor-text/hm

`run` (pictures need `unimp[pretrained]`) copies the data folder without the other attributes (price
included), trains the recipe once per variant, and judges recommendation on the test cases by the model
alone, without mixture and second stage. Every pair of variants differs in what is named and in nothing
else: pictures seen or not, cross-attention on or off. A pair with several seeds is compared by each user's
mean. The references are the fusion's relations without a model (`features`, closed and learned) with and
without the pixels' statistics, and nearest neighbours by picture. A finished variant is kept, a killed one
goes on where it stopped. `table` compares the two of each pair user by user: difference of NDCG@5 with its
95 % bootstrap interval, its share of the poorer one's mean, and the p-value of a paired sign-flip test.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
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

TEXTS: dict[str, tuple[str, ...]] = {"type and name": ("product_type_name", "prod_name"), "no text": ()}
BRIEF = [
    "train.epochs=8",
    "train.lr=2e-3",
    "train.batch_positions=512",
    "train.valid_users=1000",
    "train.checkpoint_seconds=600",
    "train.threads=1",
    "model.dropout=0.3",
    "model.input_dropout=0.3",
]
"""Of every variant: about as many steps as the recipe takes, of a quarter of the positions."""
ALONE = [
    'fusion.kind="closed"',
    'structure.kind="none"',
    "structure.content=false",
    "structure.popularity_weights=[]",
]
"""No mixture is chosen and no ranker fitted: neither is judged here."""
ENCODER = [
    "vision.encoder=package:efficientnet-lite0",
    "vision.size=128",
    "vision.tokens=4",
    "vision.token_width=128",
]
"""What validation chose for pictures (results/search/hm-poor-text.json)."""
UNCROSSED = ["model.cross_attention=false"]
SEEING = [*ENCODER, *UNCROSSED]
BLIND = ["vision.enabled=false"]
FIRST = "no text, blind"


@dataclass(frozen=True)
class Variant:
    text: str
    settings: list[str]
    without: str = ""
    """Label of the variant that lacks what this one has."""
    seeds: int = 1


SHORT = ["train.epochs=3"]
"""Of what is compared in passing: cross-attention trebles a step."""
LIKENESS = ["model.likeness=128"]
BY_PICTURE = [*SEEING, "model.identity_dropout=1"]
"""An item's vector is what its picture says, nothing else."""
LONG = ["train.epochs=24"]
VARIANTS: dict[str, Variant] = {
    FIRST: Variant("no text", BLIND),
    "no text, pictures": Variant("no text", SEEING, FIRST),
    "no text, own encoder": Variant("no text", UNCROSSED, FIRST),
    "type and name, blind": Variant("type and name", BLIND, seeds=3),
    "type and name, pictures": Variant("type and name", SEEING, "type and name, blind", seeds=3),
    "type and name, blind, likeness": Variant("type and name", [*BLIND, *LIKENESS], "type and name, blind"),
    "type and name, pictures, likeness": Variant(
        "type and name", [*SEEING, *LIKENESS], "type and name, blind, likeness"
    ),
    "pictures alone": Variant("no text", [*BY_PICTURE, *SHORT]),
    "pictures alone, to the end": Variant("no text", [*BY_PICTURE, *LONG]),
    "pictures alone, to the end, likeness": Variant("no text", [*BY_PICTURE, *LONG, *LIKENESS]),
    "no text, three epochs": Variant("no text", [*SEEING, *SHORT]),
    "no text, three epochs, cross-attention": Variant(
        "no text", [*ENCODER, *SHORT, "model.cross_attention=true"], "no text, three epochs"
    ),
}


def run(data: Path, out: Path, name: str, settings: list[str], only: list[str]) -> None:
    dataset = Dataset.load(data)
    working = out / "running"
    for text, pictures in ((text, pictures) for text in TEXTS for pictures in (True, False)):
        copy_data(dataset, TEXTS[text], working / folder_name(text, pictures), pictures=pictures)
    runs = [(label, seed) for label, variant in VARIANTS.items() for seed in range(variant.seeds)]
    for label, seed in runs:
        variant = VARIANTS[label]
        name_of_run = seeded(label, seed)
        place = out / name_of_run.replace(", ", "-").replace(" ", "-")
        if place.with_suffix(".json").exists() or (only and label not in only):
            continue
        print(name_of_run, file=sys.stderr, flush=True)
        recipe = load_recipe(name, [*ALONE, *BRIEF, f"train.seed={seed}", *variant.settings, *settings])
        folder = working / f"run-{place.name}"
        result = train(Dataset.load(working / folder_name(variant.text, True)), recipe, folder)
        judge(name_of_run, variant, folder, result, place)
    if not only or "references" in only:
        references(working, out)
    shutil.rmtree(working)


def seeded(label: str, seed: int) -> str:
    """The name of a variant's run; the first seed's is the variant's own."""
    return f"{label}, seed {seed}" if seed else label


def folder_name(text: str, pictures: bool) -> str:
    return f"{text.replace(' ', '-')}-{'pictures' if pictures else 'blind'}"


def copy_data(dataset: Dataset, kept: tuple[str, ...], folder: Path, *, pictures: bool) -> None:
    """The data folder with these attributes alone; the pictures stay where they are."""
    catalog = dataset.catalog
    if missing := set(kept) - {attribute.name for attribute in catalog.attributes}:
        sys.exit(f"{dataset.folder}: no attribute {sorted(missing)[0]!r}; this experiment is for H&M's")
    attributes = tuple(attribute for attribute in catalog.attributes if attribute.name in kept)
    items = catalog.items.select("item_id", "picture", *(attribute.name for attribute in attributes))
    if not pictures:
        items = items.with_columns(pl.lit(None, pl.String).alias("picture"))
    poorer = replace(
        catalog,
        items=items,
        attributes=attributes,
        title=catalog.title if catalog.title in kept else None,
        pictures=catalog.pictures if pictures else None,
    )
    options = {"attributes kept": list(kept)}
    Dataset.write(folder, poorer, dataset.interactions, source="poor_text", options=options, overwrite=True)


def judge(label: str, variant: Variant, folder: Path, result: dict[str, Any], place: Path) -> None:
    """Write the metrics, and NDCG@5 of every test case."""
    opened = open_run(folder)
    artifacts = opened.artifacts
    split = make_split(opened.dataset, artifacts.recipe.train.split, artifacts.recipe.train.seed)
    task = next(task for task in artifacts.tasks if task.name == "recommendation")
    alone = artifacts.answerer(opened.model, {task.name: FusionWeights()}).decoders[task.name]
    score = task.score(alone, split.test)
    assert score.values is not None
    report = {
        "variant": label,
        "without": variant.without,
        "attributes": list(TEXTS[variant.text]),
        "settings": variant.settings,
        "data_hash": opened.dataset.data_hash,
        "recipe": opened.facts["recipe"],
        "gates": opened.model.gates(),
        "parameters": result["parameters"],
        "valid": result["valid"]["score"],
        "best_epoch": result["best_epoch"],
        "epochs": result["epochs"],
        "seconds": result["seconds"],
        "device": result["device"],
        "versions": result["versions"],
        "test": document(score, task),
    }
    save_variant(place, report, {"NDCG@5": score.values.astype(np.float32)})


def references(working: Path, out: Path) -> None:
    """`unimp bench run` of what needs no model, into folders of their own."""
    for text, pictures in ((text, pictures) for text in TEXTS for pictures in (True, False)):
        name = folder_name(text, pictures)
        bench(working / name, out / "references" / name, "features", "--fusion", "closed,learned")
    name = folder_name("no text", True)
    bench(working / name, out / "references" / name, "content-image")


def bench(data: Path, out: Path, methods: str, *options: str) -> None:
    command = ["-m", "unimp.cli.main", "bench", "run", "--data", str(data), "--out", str(out), "--no-ids"]
    subprocess.run([sys.executable, *command, "--methods", methods, *options], check=True)


def table(out: Path) -> None:
    reports = load_variants(out, FIRST)
    print("| variant | NDCG@5 | against | difference |")
    print("|---|---|---|---|")
    found = {label: of_seeds(reports, label) for label in VARIANTS if label in reports}
    for label, cases in found.items():
        other = VARIANTS[label].without
        gained = gain(cases, found[other]) if other in found else ""
        print(f"| {label} | {cases.mean():.4f} | {other} | {gained} |")
    reference_rows(out / "references")


def reference_rows(folder: Path) -> None:
    found: dict[tuple[str, str], Any] = {}
    for path in sorted(folder.glob("*/*.json")):
        report = json.loads(path.read_text())
        ranks = pl.read_parquet(path.with_suffix(".parquet"))["rank"].to_numpy()
        fusion = "" if report["fusion"]["kind"] == "none" else f", {report['fusion']['kind']}"
        method = report["method"] + fusion
        found[path.parent.name, method] = np.where(ranks <= 5, 1.0 / np.log2(1.0 + ranks), 0.0)
    for (name, method), cases in found.items():
        text, pictures = name.rsplit("-", 1)
        label, blind = f"{text.replace('-', ' ')}, {pictures}", found.get((f"{text}-blind", method))
        pair = pictures == "pictures" and blind is not None
        other = f"{text.replace('-', ' ')}, blind" if pair else ""
        print(f"| {method}: {label} | {cases.mean():.4f} | {other} | {gain(cases, blind) if pair else ''} |")


def of_seeds(reports: dict[str, tuple[dict[str, Any], pl.DataFrame]], label: str) -> np.ndarray:
    """[N] each test case's mean over the seeds there are."""
    names = [seeded(label, seed) for seed in range(VARIANTS[label].seeds)]
    return np.mean([values(reports[name][1]) for name in names if name in reports], axis=0)


def values(cases: pl.DataFrame) -> np.ndarray:
    return cases["NDCG@5"].cast(pl.Float64).to_numpy()


def gain(with_N: np.ndarray, without_N: np.ndarray) -> str:
    """`+0.0012 (-0.0003…+0.0027), +2.0 % (-0.5…+4.5), p 0.11`."""
    found, mean = compare(with_N, without_N), without_N.mean()
    span = found.difference
    share, low, high = (100.0 * part / mean for part in (span.mean, span.low, span.high))
    points = f"{span.mean:+.4f} ({span.low:+.4f}…{span.high:+.4f})"
    return f"{points}, {share:+.1f} % ({low:+.1f}…{high:+.1f}), p {found.p_value:.2g}"


if __name__ == "__main__":
    variants_command(__doc__, "small-hm", run, table)
