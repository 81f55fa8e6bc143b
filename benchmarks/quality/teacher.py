"""How well the teacher of networks foretells by itself, and what networks learnt from it reach on validation.

    python benchmarks/quality/teacher.py --data DIR --tries RUN … --out results/search/teacher-NAME.json

The teacher's items behind each user's last training event are held against the validation item, out of fold;
`--tries`: folders of runs, whose settings and validation by epoch are kept, all of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from unimp.core.config import dotted
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.fusion.config import TeacherConfig
from unimp.fusion.teacher import RelationTeacher
from unimp.metrics.ranking import metric_values
from unimp.runs.recipe import Recipe
from unimp.runs.training_split import TrainingSplit, make_split


def ranks(split: TrainingSplit, items_EK: np.ndarray) -> np.ndarray:
    """Place of each validation item among the teacher's behind the last training event; 0: not there."""
    last = dict(zip(split.train.user_ids.tolist(), split.train.offsets[1:] - 1, strict=True))
    found = []
    for user, target in zip(split.valid.histories.user_ids.tolist(), split.valid.target_rows, strict=True):
        places = np.flatnonzero(items_EK[last[user]] == target)
        found.append(int(places[0]) + 1 if len(places) else 0)
    return np.array(found)


def tried(folder: Path) -> dict[str, Any]:
    """What differs from the recipe's base, and validation by epoch."""
    recipe = Recipe.model_validate(json.loads((folder / "run.json").read_text("utf-8"))["recipe"])
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    plain = dotted(Recipe().model_dump(mode="json"))
    settings = {
        key: value for key, value in dotted(recipe.model_dump(mode="json")).items() if value != plain[key]
    }
    by_epoch = {entry["epoch"]: round(entry["valid"]["NDCG@5"], 5) for entry in log}
    return {"settings": settings, "valid NDCG@5 by epoch": by_epoch, "seconds": log[-1]["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", default=["linear", "trees"])
    parser.add_argument("--tries", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    split = TrainingSplit.of(dataset, make_split(dataset, "leave-one-out"))
    teacher = RelationTeacher(
        split.catalog, split.train, TeacherConfig(), exclude_history=split.exclude_history, show=True
    )
    report: dict[str, Any] = {"data": dataset.data_hash, "users": len(split.valid), "teacher": {}}
    for kind in options.kinds:
        found = ranks(split, teacher.targets(kind)[0])
        places = np.where(found > 0, found, np.inf)
        report["teacher"][kind] = {
            f"valid NDCG@{cutoff}": float(metric_values(places, "NDCG", cutoff).mean()) for cutoff in (5, 10)
        }
        report["teacher"][kind] |= {"ranks": found.tolist()}
    report["networks"] = {folder.name: tried(folder) for folder in options.tries}
    options.out.write_text(json.dumps(report) + "\n", "utf-8")
    print(
        {kind: {k: v for k, v in found.items() if k != "ranks"} for kind, found in report["teacher"].items()}
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
