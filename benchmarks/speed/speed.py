"""Speed of training, ranking and picture encoding, each against the naive way, in one run on one model.

    python benchmarks/speed/speed.py --data DIR [--recipe small] [--threads 2] [--out FILE.json]

naive training   one row per prefix of a history, one target a row (a common way to feed sequential models)
naive ranking    one user at a time, the item table made anew for each
naive pictures   every picture of every history decoded and encoded again, not once per picture
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import read_pixels, seconds

from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.data.histories import Histories
from unimp.inference.forward import batches_by_length, read
from unimp.model.unimp import UnimpModel
from unimp.model.vision import ConvEncoder, pixels_from_bytes
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.recipe import load_recipe
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.sentence.training_batch import TrainingBatch, collate_with_targets
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.windows import Window
from unimp.train.objective import Objective
from unimp.train.optimizer import parameter_groups
from unimp.train.preparation import build_artifacts

SEED = 0


def rows_of(artifacts: RunArtifacts, histories: Histories, *, every_prefix: bool) -> list[Any]:
    """Encoded sentences that train every event once: windows of a history, or one row per prefix."""
    task, limit = artifacts.tasks[0], artifacts.recipe.sentence.max_items
    windows = task.windows(histories, limit, np.random.default_rng(SEED))
    if every_prefix:
        windows = [
            Window(user, max(0, stop - limit), stop)
            for user, length in enumerate(histories.lengths.tolist())
            for stop in range(1, length + 1)
        ]
    return [artifacts.encoder.encode(task.sentence(histories, window)) for window in windows]


def last_target_only(batch: TrainingBatch) -> TrainingBatch:
    """Keep each row's last item target: what a row per prefix is trained on."""
    items, width = batch.item_targets, batch.items.shape[1]
    owner = items.positions // width
    last = torch.ones(len(owner), dtype=torch.bool)
    last[:-1] = owner[1:] != owner[:-1]
    return replace(batch, item_targets=items.where(last))


def train_pass(artifacts: RunArtifacts, model: UnimpModel, sentences: list[Any], *, dense: bool) -> int:
    """One epoch over `sentences`; the number of targets trained."""
    optimizer = torch.optim.AdamW(parameter_groups(model, artifacts.recipe), lr=1e-3)
    objective = Objective(model, artifacts.vocabulary, artifacts.recipe.objective, artifacts.items)
    lengths = [len(sentence) for sentence in sentences]
    trained = 0
    model.train()
    for rows in batches_by_length(lengths, artifacts.recipe.train.batch_positions):
        batch = collate_with_targets([sentences[row] for row in rows])
        batch = batch if dense else last_target_only(batch)
        state = model.item_state(artifacts.items)
        loss = objective(read(model, state, batch), state, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        optimizer.step()
        trained += loss.predicted
    return trained


def measure_training(artifacts: RunArtifacts, train: Histories, users: int) -> dict[str, float]:
    sample = train.select(np.sort(np.random.default_rng(SEED).permutation(len(train))[:users]))
    figures: dict[str, float] = {"users": len(sample), "events": sample.num_events}
    for name, dense in (("ours", True), ("naive", False)):
        torch.manual_seed(SEED)
        model = artifacts.new_model()
        sentences = rows_of(artifacts, sample, every_prefix=not dense)
        train_pass(artifacts, model, sentences[:64], dense=dense)
        spent = seconds(lambda: train_pass(artifacts, model, sentences, dense=dense))  # noqa: B023
        figures[f"{name} users/s"] = len(sample) / spent
        figures[f"{name} events/s"] = sample.num_events / spent
        figures[f"{name} positions"] = float(sum(len(sentence) for sentence in sentences))
        figures[f"{name} positions/s"] = figures[f"{name} positions"] / spent
    figures["ratio"] = figures["ours users/s"] / figures["naive users/s"]
    return figures


def measure_ranking(artifacts: RunArtifacts, histories: Histories, users: int) -> dict[str, float]:
    torch.manual_seed(SEED)
    model = artifacts.new_model()
    sample = histories.select(np.sort(np.random.default_rng(SEED).permutation(len(histories))[:users]))
    few = sample.slice(0, max(20, users // 20))

    def together() -> None:
        ranker = artifacts.answerer(model).decoder(RecommendationTask)
        for start in range(0, len(sample), 512):
            ranker.score(sample.slice(start, start + 512)).argmax(axis=1)

    def one_by_one() -> None:
        for user in range(len(few)):
            artifacts.answerer(model).decoder(RecommendationTask).score(few.slice(user, user + 1)).argmax(
                axis=1
            )

    together()
    ours, naive = len(sample) / seconds(together), len(few) / seconds(one_by_one)
    return {"ours users/s": ours, "naive users/s": naive, "ratio": ours / naive}


def measure_pictures(
    artifacts: RunArtifacts, dataset: Dataset, histories: Histories, users: int
) -> dict[str, float]:
    """Pictures that histories show, per second: encoded once each, against once per mention."""
    catalog, vision = dataset.catalog, artifacts.recipe.vision
    if catalog.pictures is None:
        return {}
    encoder = ConvEncoder(vision.token_width).eval()
    sample = histories.select(np.sort(np.random.default_rng(SEED).permutation(len(histories))[:users]))
    references = catalog.picture_references
    mentions = [references[row] for row in sample.item_rows.tolist()]
    shown = [reference for reference in mentions if reference is not None]

    def encode(names: list[str]) -> None:
        pixels = read_pixels(catalog, names, vision.height, vision.image_width)
        encoder(pixels_from_bytes(torch.from_numpy(pixels)))

    def in_batches(names: list[str], size: int) -> None:
        with torch.inference_mode():
            for start in range(0, len(names), size):
                encode(names[start : start + size])

    few = shown[: max(50, len(shown) // 20)]
    ours = len(shown) / seconds(lambda: in_batches(sorted(set(shown)), 256))
    naive = len(few) / seconds(lambda: in_batches(few, 16))
    return {
        "mentions": len(shown),
        "pictures": len(set(shown)),
        "ours pictures/s": ours,
        "naive pictures/s": naive,
        "ratio": ours / naive,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, ["structure.kind=none"])
    set_threads(options.threads)
    dataset = Dataset.load(options.data)
    split = make_split(dataset, "leave-one-out")
    artifacts = build_artifacts(
        TrainingSplit.of(dataset, split), recipe, device=torch.device("cpu"), show_progress=False
    )
    report = {
        "data": f"{dataset.manifest.source} ({dataset.data_hash})",
        "recipe": recipe.name,
        "threads": options.threads,
        "training": measure_training(artifacts, split.train, options.users),
        "ranking": measure_ranking(artifacts, split.test.histories, options.users),
        "pictures": measure_pictures(artifacts, dataset, split.train, len(split.train)),
    }
    print(json.dumps(report, indent=2))
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
