"""One data folder with a pretrained language model: measured, trained for a share of the time, judged.

    train_and_measure.py --data DIR --out DIR --minutes M --work DIR [--recipe smollm2-135m] [--device cuda]

Half of the minutes train: the steps that fit are counted from the speed just measured, so that the learning
rate's schedule ends with them. DATA.json in `--out` holds the device's name, the training steps' share of
the device's matrix rate (`benchmarks/speed/backbone.py`), users a minute, peak memory, and every task's
metrics on test; DATA.TASK.parquet the rank of every test case.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))

from backbone import compare

from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.evaluate.bench.environment import Environment
from unimp.evaluate.evaluation import evaluate_run
from unimp.runs.open_run import open_run
from unimp.runs.recipe import load_recipe
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.sentence.template import SentenceConfig, Template
from unimp.tasks import TASKS
from unimp.train.training_run import train

TRAINING_SHARE, MEASURING_SECONDS = 0.5, 20.0


def allowed_tasks(dataset: Dataset) -> list[str]:
    """The tasks for which the data folder has what they need; codes of its pictures would be learned."""
    split = TrainingSplit.of(dataset, make_split(dataset, "leave-one-out"))
    codes = None if dataset.catalog.pictures is None else np.empty((0, 0), dtype=np.int64)
    context = split.context(Template(dataset.catalog, SentenceConfig()), codes)
    return [name for name in TASKS if TASKS[name].lacks(context) is None]


def steps_within(seconds: float, speed: dict[str, Any], batch_positions: int) -> int:
    """Training steps in so many seconds at the measured positions a second."""
    return max(1, int(seconds * speed["training"]["ours"]["positions/s"] / batch_positions))


def measure(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """The document of the result file; ranks are written beside it."""
    dataset, started = Dataset.load(options.data), time.monotonic()
    tasks = allowed_tasks(dataset)
    settings = [f"tasks={json.dumps(tasks)}", f"image_tokenizer.enabled={json.dumps('imagination' in tasks)}"]
    recipe = load_recipe(options.recipe, settings)
    measured = load_recipe(options.recipe, [*settings, "structure.kind=none"])
    speed = compare(dataset, measured, device, options.users, min(MEASURING_SECONDS, 6 * options.minutes))
    steps = steps_within(60 * options.minutes * TRAINING_SHARE, speed, recipe.train.batch_positions)
    recipe = load_recipe(options.recipe, [*settings, f"train.max_steps={steps}"])
    run = options.work / f"{options.data.name}-run"
    trained = train(dataset, recipe, run, device=device)
    ranks = options.out / f"{options.data.name}.parquet"
    judged = evaluate_run(open_run(run, device=str(device)), ranks_file=ranks)
    return {
        "data": f"{dataset.manifest.source} ({dataset.data_hash})",
        "recipe": recipe.name,
        "tasks": tasks,
        "environment": Environment.here(str(device)).model_dump(),
        "training": {
            "steps": steps,
            **{key: trained[key] for key in ("seconds", "epochs", "peak_memory_mib")},
        },
        "users a minute": 60 * speed["recommending"]["ours"]["users/s"],
        "utilisation": speed["training"]["ours"]["utilisation"],
        "speed": speed,
        "test": judged["tasks"],
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the run, which is not kept")
    parser.add_argument("--recipe", default="smollm2-135m")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--users", type=int, default=256)
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cpu":
        set_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    report = measure(options, device)
    (options.out / f"{options.data.name}.json").write_text(json.dumps(report, indent=1) + "\n")
    print(
        f"{options.data.name}: {report['environment']['device']}, {report['training']['steps']} steps, "
        f"utilisation {report['utilisation']:.1%}, {report['users a minute']:,.0f} users a minute, "
        f"{report['seconds']:.0f} s"
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
