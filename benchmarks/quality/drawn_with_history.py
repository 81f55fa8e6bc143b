"""What a history adds to a drawing, in every judged column, by interval.

    python benchmarks/quality/drawn_with_history.py RUN --out results/drawings/NAME.json [--cases 1000]

Draws for the first test cases with a history and a picture, in the words of `unimp evaluate`: as the run's
recipe says, the same without the history, and both without what the user's search plans
(`sampling.planned`). Judged by a classifier of real pictures (`tasks/image_generation/picture_judge.py`):
agreement with what the user chose next in each attribute it reads, likeness of its features, and FID.
Intervals are of paired differences over cases, by bootstrap; a lower FID is better. Every case is kept.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import unimp
from unimp.answer import PictureArray, Query
from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.data.histories import Cases
from unimp.evaluate.bench.environment import Environment
from unimp.evaluate.bench.significance import intervals_of
from unimp.metrics.pictures import frechet_distance, likeness
from unimp.runs.training_split import make_split
from unimp.tasks.image_generation.decoder import ModelImageGenerator
from unimp.tasks.image_generation.picture_judge import PictureJudge
from unimp.tasks.image_generation.task import ImageGenerationTask

DISTANCE_RESAMPLES = 100
"""Of cases, for the interval of an FID: each costs two matrix roots."""
OWN = "history, planned"


def ways(decoder: ModelImageGenerator, cases: Cases, words: list[Query]) -> dict[str, PictureArray]:
    """How the pictures are drawn -> [N, Y, X, 3]; without a plan only where the recipe has one."""
    plain = replace(decoder, planner=None)
    decoders = {"planned": decoder, "unplanned": plain} if decoder.planner else {"planned": decoder}
    nobody = cases.histories.first(0)
    return {
        f"{known}, {name}": one.imagine(histories, words, 0)
        for name, one in decoders.items()
        for known, histories in (("history", cases.histories), ("no history", nobody))
    }


def judged(
    judge: PictureJudge, cases: Cases, pictures: PictureArray, real: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """Column -> [N] values, NaN where nothing is wanted; and the features. `real`: those of the targets."""
    features, read = judge.features(pictures), judge.judge.read(pictures)
    columns = {"agreement": judge.hits(read, cases)} if judge.attributes else {}
    columns |= {name: judge.hits_in(name, read[name], cases) for name in judge.attributes}
    return columns | {"likeness": likeness(features, real)}, features


def interval(values_N: np.ndarray) -> list[float]:
    """Mean and 95 % interval over the cases that have a value."""
    found = intervals_of([values_N[:, None]])[0][0]
    return [round(float(value), 4) for value in (found.mean, found.low, found.high)]


def listed(values: np.ndarray) -> list[float | None]:
    """As JSON has them: null for NaN."""
    return [None if value != value else round(value, 4) for value in values.tolist()]


def measure(run: Path, most: int) -> dict[str, Any]:
    trained = unimp.load(run)
    parts, artifacts = trained.answerer.parts, trained.run.artifacts
    plain = parts.find(ImageGenerationTask)
    if plain is None:
        raise SystemExit(f"{run}: this run does not draw; train one with the task `imagination`")
    seed = artifacts.recipe.train.seed
    task = plain.with_judge(parts, seed=seed)
    judge = task.judge
    assert judge is not None
    cases = make_split(trained.run.dataset, artifacts.recipe.train.split, seed).test
    wanted = (cases.target_rows >= 0) & (cases.histories.lengths > 0)
    wanted &= judge.pixels.present[np.maximum(cases.target_rows, 0)]
    cases = cases.select(np.flatnonzero(wanted)[:most])
    drawn = ways(parts.decoder(task), cases, task.guidance(cases))
    real = judge.features(judge.pixels.values[cases.target_rows])
    found = {way: judged(judge, cases, pictures, real) for way, pictures in drawn.items()}
    places = np.random.default_rng(0).integers(0, len(cases), size=(DISTANCE_RESAMPLES, len(cases)))
    distances = {
        way: np.array([frechet_distance(features[chosen], real[chosen]) for chosen in places])
        for way, (_, features) in found.items()
    }
    means = {
        way: {"FID": round(frechet_distance(features, real), 3)}
        | {name: round(float(np.nanmean(values)), 4) for name, values in columns.items()}
        for way, (columns, features) in found.items()
    }
    leads: dict[str, dict[str, list[float]]] = {}
    for way in found.keys() - {OWN}:
        apart = distances[OWN] - distances[way]
        low, high = np.quantile(apart, (0.025, 0.975))
        columns = {name: interval(values - found[way][0][name]) for name, values in found[OWN][0].items()}
        fid = [round(float(value), 3) for value in (means[OWN]["FID"] - means[way]["FID"], low, high)]
        leads[way] = {"FID": fid} | columns
    return {
        "run": run.name,
        "data": trained.run.dataset.data_hash,
        "cases": len(cases),
        "judge": {one.attribute: one.accuracy for one in judge.judge.examinations},
        "means": means,
        f"difference of '{OWN}' to": dict(sorted(leads.items())),
        "environment": Environment.here().model_dump(mode="json"),
        "values": {
            way: {name: listed(values) for name, values in one.items()} for way, (one, _) in found.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=1000)
    options = parser.parse_args()
    set_threads(1)
    document = measure(options.run, options.cases)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document) + "\n", encoding="utf-8")
    print(
        json.dumps(
            {name: document[name] for name in document if name not in ("values", "environment")}, indent=1
        )
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
