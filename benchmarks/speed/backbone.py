"""Training and recommending with a large backbone: speed, memory, the floor, and the official way.

    backbone.py --data DIR --recipe smollm2-135m [--users 256] [--device cuda] [--out FILE]

All in one run on the same weights: those of the backbone, and untrained ones for what is added to it. Ours
and the official way (`official.py`) take turns, so that other programs slow both alike; a round that would
begin after `--seconds` is not begun. Figures are made of the process's own seconds on a CPU, of wall seconds
on an accelerator; the file holds both. The floor is the operations by count (`flops.py`) over the machine's
rate in matrix products of the model's own sizes, measured in the same process: float32 on a CPU, bfloat16 on
CUDA.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from contest import Contest
from measure import Meter

from unimp.core.compute import set_threads
from unimp.core.errors import ConfigError
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.evaluate.bench.environment import Environment
from unimp.runs.recipe import Recipe, load_recipe
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.train.preparation import build_artifacts


def compare(
    dataset: Dataset, recipe: Recipe, device: torch.device, users: int, limit: float
) -> dict[str, Any]:
    """All figures of one recipe on one device; `limit`: seconds after which no further round begins."""
    if recipe.vision.trainable:
        raise ConfigError("vision.trainable: the official way has a frozen encoder; set it to false")
    if recipe.model.likeness:
        raise ConfigError("model.likeness: the official way has no such head; set it to 0")
    split = make_split(dataset, "leave-one-out")
    artifacts = build_artifacts(TrainingSplit.of(dataset, split), recipe, device=device, show_progress=False)
    meter = Meter(device)
    contest = Contest(artifacts, meter, limit)
    parameters = list(contest.model.parameters())
    rate = contest.rate()
    training = contest.training(split.train)
    ranking = contest.ranking(split.test.histories, users)
    for part in (training, ranking):
        ours = part["ours"]
        ours["floor seconds"] = ours["flops"]["total"] / rate.per_second
        ours["utilisation"] = ours["floor seconds"] / sum(spent[meter.ruling] for spent in ours["spent"])
    return {
        "seconds of": meter.ruling,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "learned": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "weights": "what is added to the backbone is untrained" if recipe.backbone.name else "untrained",
        "rate": {"flops/s": rate.per_second, "dtype": rate.dtype, "products": rate.products},
        "training": training,
        "recommending": ranking,
    }


def lines(report: dict[str, Any]) -> list[str]:
    """The table that is printed."""
    training, ranking = report["training"], report["recommending"]
    ours, theirs = training["ours"], training["official"]
    asked, beams = ranking["ours"], ranking["official"]
    same = ranking["ours, the same five items"]
    rows = [
        ("matrix rate, GFLOP/s", f"{report['rate']['flops/s'] / 1e9:,.1f}", report["rate"]["dtype"]),
        ("", "ours", "official"),
        ("training, positions/s", f"{ours['positions/s']:,.1f}", f"{theirs['positions/s']:,.1f}"),
        ("training, item targets/s", f"{ours['targets/s']:,.2f}", f"{theirs['targets/s']:,.3f}"),
        ("padded positions", f"{ours['padded']:.1%}", ""),
        ("operations a step, GFLOP", f"{ours['flops']['total'] / ours['steps'] / 1e9:,.1f}", ""),
        ("utilisation of the rate", f"{ours['utilisation']:.1%}", ""),
        ("peak memory, MiB", f"{ours['peak MiB']:,.0f}", f"{theirs['peak MiB']:,.0f}"),
        ("ratio per trained target", f"{training['ratio per target']:.1f}", ""),
        ("recommending, users/s", f"{asked['users/s']:,.2f}", f"{beams['users/s']:,.3f}"),
        (
            "one user, seconds",
            f"{asked['latency of one user']:.3f}",
            f"{beams['latency of one user']:.2f}",
        ),
        ("utilisation of the rate", f"{asked['utilisation']:.1%}", ""),
        ("peak memory, MiB", f"{asked['peak MiB']:,.0f}", f"{beams['peak MiB']:,.0f}"),
        ("ratio", f"{ranking['ratio']:.1f}", ""),
        ("users/s, the same five items", f"{same['users/s']:,.2f}", ""),
        ("ratio, the same five items", f"{ranking['ratio, the same five items']:.1f}", ""),
    ]
    return [f"{label:30} {one:>12} {other:>12}".rstrip() for label, one, other in rows]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="smollm2-135m")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--device", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0, help="of training, and of recommending")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, ["structure.kind=none", *options.settings])
    set_threads(options.threads)
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dataset = Dataset.load(options.data)
    report = {
        "data": f"{dataset.manifest.source} ({dataset.data_hash})",
        "recipe": recipe.name,
        "settings": options.settings,
        "environment": Environment.here(str(device)).model_dump(),
        "threads": options.threads,
        **compare(dataset, recipe, device, options.users, options.seconds),
    }
    print("\n".join(lines(report)))
    print(f"extrapolated: {report['recommending']['extrapolated']}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
