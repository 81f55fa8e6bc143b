"""Ratings without a model: the closed form that a forecast is mixed with, against biased factorisation.

    python benchmarks/quality/ratings.py DATA --out results/ratings/NAME.json

Fitted on the training part, judged on validation and on test (the last two events of every user). The file
holds every test case's forecasts, and the 95 % bootstrap interval over users of the difference in squared
error.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from unimp.answer import Rater
from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.data.histories import Cases
from unimp.evaluate.bench.environment import Environment
from unimp.features.text import fit_text
from unimp.runs.recipe import load_recipe
from unimp.runs.training_split import make_split
from unimp.tasks.rating.regression import RatingRegression

RESAMPLES = 10_000


def rated(cases: Cases, ratings: np.ndarray) -> tuple[Cases, np.ndarray]:
    """The cases whose target has a rating, and those ratings."""
    truth = np.where(cases.target_events >= 0, ratings[np.maximum(cases.target_events, 0)], np.nan)
    rows = np.flatnonzero(~np.isnan(truth) & (cases.target_rows >= 0))
    return cases.select(rows), truth[rows]


def judge(rater: Rater, cases: Cases, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """(RMSE, forecasts [N])."""
    forecasts = rater.rate(cases.histories, cases.target_rows)
    return float(np.sqrt(((forecasts - truth) ** 2).mean())), forecasts


def interval(differences: np.ndarray) -> list[float]:
    """95 % percentile bootstrap of the mean."""
    rng = np.random.default_rng(0)
    means = [
        differences[rng.integers(len(differences), size=len(differences))].mean() for _ in range(RESAMPLES)
    ]
    return [float(value) for value in np.percentile(means, [2.5, 97.5])]


def compare(dataset: Dataset) -> dict[str, Any]:
    split = make_split(dataset, "leave-one-out")
    ratings = dataset.interactions.events["rating"].fill_null(float("nan")).to_numpy()
    width = load_recipe("small").content.text
    projector = fit_text(dataset.catalog, width)
    text = None if projector is None else projector.project(dataset.catalog)
    closed = RatingRegression.fit(split.train, text)
    raters = {"biases": closed.biases, "biased MF": closed.factors, "closed form": closed}
    report: dict[str, Any] = {"validation": {}, "test": {}, "forecasts": {}}
    for name, cases in (("validation", split.valid), ("test", split.test)):
        chosen, truth = rated(cases, ratings)
        for title, rater in raters.items():
            report[name][title], forecasts = judge(rater, chosen, truth)
            if name == "test":
                report["forecasts"][title] = np.round(forecasts, 4).tolist()
                report["truth"] = truth.tolist()
    errors = {t: (np.array(f) - report["truth"]) ** 2 for t, f in report["forecasts"].items()}
    report["squared error, closed form less biased MF"] = interval(
        errors["closed form"] - errors["biased MF"]
    )
    report["weights"] = closed.weights_F.tolist()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(1)
    dataset = Dataset.load(options.data)
    report = {
        "data": f"{dataset.manifest.source} ({dataset.data_hash})",
        "environment": Environment.here().model_dump(),
        **compare(dataset),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report) + "\n")
    for part in ("validation", "test"):
        print(part, {name: round(value, 4) for name, value in report[part].items()})
    print(
        "squared error, closed form less biased MF, 95 %:",
        report["squared error, closed form less biased MF"],
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
