"""Explanations without a model: what the simple references reach, and what a judged run has over each.

    python benchmarks/quality/explanation_references.py DATA --cases results/multitask/NAME.parquet \\
        --out results/explanations/NAME-references.json

Judged on the test cases whose user wrote a sentence, as `unimp evaluate RUN --references` does. `--cases` is
what that command wrote for a run on the same data (`unimp evaluate RUN --cases FILE`): its ROUGE-L less each
reference's, case by case, with 95 % by bootstrap. The file holds every case.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import polars as pl
from drawn_with_history import listed

from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.evaluate.bench.environment import Environment
from unimp.evaluate.bench.significance import Values, compare_pairs
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.sentence.template import SentenceConfig, Template
from unimp.tasks.explanation.task import ExplanationTask


def judged(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Reference -> its metrics, and ROUGE-L of every test case (NaN where nothing was written)."""
    split = make_split(dataset, "leave-one-out")
    template = Template(dataset.catalog, SentenceConfig())
    task = ExplanationTask(TrainingSplit.of(dataset, split).context(template))
    return {
        name: {"metrics": score.metrics, "ROUGE-L": score.values}
        for name, method in task.explainers().items()
        for score in [task.score(method, split.test)]
    }


def of_run(path: Path) -> Values:
    """[N] ROUGE-L of the run's explanations, in the order of the cases; NaN where there is none."""
    cases = pl.read_parquet(path).filter((pl.col("task") == "explanation") & (pl.col("method") == "UniMP"))
    return cases.sort("case")["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(1)
    dataset = Dataset.load(options.data)
    found, own = judged(dataset), of_run(options.cases)
    compared = compare_pairs([(own, one["ROUGE-L"]) for one in found.values()])
    document = {
        "data": f"{dataset.manifest.source} ({dataset.data_hash})",
        "run": options.cases.name,
        "metrics": {name: one["metrics"] for name, one in found.items()},
        "ROUGE-L of the run less": {
            name: [
                round(value, 4) for value in (lead.difference.mean, lead.difference.low, lead.difference.high)
            ]
            for name, lead in zip(found, compared, strict=True)
        },
        "environment": Environment.here().model_dump(mode="json"),
        "values": {name: listed(one["ROUGE-L"]) for name, one in found.items()},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document) + "\n", encoding="utf-8")
    print(json.dumps({name: document[name] for name in ("metrics", "ROUGE-L of the run less")}, indent=1))


if __name__ == "__main__":
    with one_line_errors():
        main()
