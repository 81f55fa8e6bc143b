"""`unimp demo`, step by step."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unimp.core.errors import DataError
from unimp.data.dataset import Dataset
from unimp.data.histories import Split
from unimp.demo.comparison import TasteComparison, compare, ranked
from unimp.demo.rankers import alone, fused
from unimp.demo.report import write_report
from unimp.demo.result import Demo
from unimp.demo.scoreboard import Scoreboard, scoreboard, task_scores
from unimp.demo.second_process import (
    BLIND,
    BlindSelf,
    OneOfTwo,
    judge_blind_self,
    judge_drawings,
    judge_simple_methods,
    prepare_pictures,
    second_process,
)
from unimp.demo.shop.settings import ShopConfig
from unimp.demo.shop.writing import shop_users, write_shop
from unimp.personalizer import Personalizer, load
from unimp.runs.recipe import load_recipe
from unimp.runs.training_split import make_split
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.recommendation.task import RecommendationTask, score_of_ranks
from unimp.tasks.task import TaskScore
from unimp.train.training_run import train

UNIMP, ALONE = "UniMP", "UniMP, model alone"
DRAWING = ImageGenerationTask.name
"""Judging what is drawn takes about as long as judging all other tasks: the second process does it."""


def run_demo(out: Path, *, settings: list[str] | None = None, shop: ShopConfig | None = None) -> Demo:
    """Generate, train twice (seeing and blind), compare, write `report.html` and `demo.json`.

    What is finished in `out` is used again. Raises DataError when `out` holds something else.
    """
    recipe, blind_recipe = (load_recipe(name, settings or ()) for name in ("demo", "demo-blind"))
    claim(out)
    clock = Clock()
    dataset = open_shop(out / "shop", shop)
    split = make_split(dataset, "leave-one-out")
    folder = dataset.folder
    clock.lap("generate the shop")
    say(f"shop: {len(dataset.catalog)} items with pictures, {len(dataset.interactions.histories):,} users")
    with second_process(recipe.train.threads) as second:
        second.submit(prepare_pictures, folder, recipe)
        blind = second.submit(judge_blind_self, folder, blind_recipe, out / "run-blind")
        simple = second.submit(judge_simple_methods, folder, recipe)
        say("training UniMP on pictures, text and histories; its image-blind self in a second process")
        train(dataset, recipe, out / "run", process_group=OneOfTwo())
        seeing = load(out / "run", data=folder)
        clock.lap("train UniMP")
        drawn = second.submit(judge_drawings, folder, out / "run")
        say("judging all six tasks")
        ranker = fused(seeing)
        own = ranked({ALONE: alone(seeing), UNIMP: ranker}, split.test)
        clock.lap("rank")
        names = [name for name in seeing.tasks if name not in (RecommendationTask.name, DRAWING)]
        scores = task_scores(seeing, names, split.test, dataset.catalog)
        clock.lap("judge the tasks")
        scores |= drawn.result()
        tastes = tastes_of(dataset, split)
        comparison = compare(simple.result() | blind.result().ranks | own, tastes)
        clock.lap("wait for the second process")
    comparison.ranks_table(split.test, tastes).write_parquet(out / "ranks.parquet")
    demo = Demo(
        seeing,
        ranker,
        comparison,
        split,
        score_tasks(seeing, comparison, scores, blind.result(), tastes),
        tastes,
        clock.laps,
        out / "report.html",
    )
    write_report(demo)
    (out / "demo.json").write_text(json.dumps(document(demo), indent=2) + "\n")
    return demo


def score_tasks(
    seeing: Personalizer,
    comparison: TasteComparison,
    scores: dict[str, dict[str, TaskScore]],
    blind: BlindSelf,
    tastes: np.ndarray,
) -> Scoreboard:
    """The scoreboard; recommendations are judged by the ranks that the comparison has."""
    ranks = {row.method: score_of_ranks(row.ranks) for row in comparison.rows}
    others = {name: score for name, score in ranks.items() if not name.startswith(UNIMP)}
    recommending = RecommendationTask.name
    return scoreboard(
        seeing.run.artifacts.tasks,
        scores | {recommending: {UNIMP: ranks[UNIMP]} | others},
        blind.scores | {recommending: ranks[BLIND]},
        tastes,
    )


def document(demo: Demo) -> dict[str, Any]:
    """The demo's figures for programs."""
    comparison = demo.comparison
    return {
        "report": str(demo.report),
        "rows": [
            {name: value for name, value in vars(row).items() if name != "ranks"} for row in comparison.rows
        ],
        "users_by_taste": comparison.users_by_taste,
        "hit_rate_ratio": {
            "UniMP over Pop": comparison.ratio(UNIMP, "Pop"),
            "UniMP over its image-blind self, picture-decided users": comparison.ratio(
                UNIMP, BLIND, "picture"
            ),
            "UniMP over nearest by picture, picture-decided users": comparison.ratio(
                UNIMP, "nearest by picture", "picture"
            ),
        },
        "tasks": [asdict(row) | {"ahead": row.ahead} for row in demo.scoreboard.tasks],
        "by_taste": [asdict(row) for row in demo.scoreboard.tastes],
        "seconds": demo.seconds,
    }


def claim(out: Path) -> None:
    known = {"shop", "run", "run-blind", "report.html", "demo.json", "ranks.parquet"}
    if out.exists():
        strange = [entry.name for entry in out.iterdir() if entry.name not in known]
        if strange or not out.is_dir():
            raise DataError(f"{out}: holds {strange[0]!r}, which no demo made; choose another --out")
    out.mkdir(parents=True, exist_ok=True)


def open_shop(folder: Path, shop: ShopConfig | None) -> Dataset:
    return Dataset.load(folder) if folder.exists() else write_shop(folder, shop)


def tastes_of(dataset: Dataset, split: Split) -> np.ndarray:
    users = shop_users(dataset.folder)
    taste = dict(zip(users["user_id"].to_list(), users["taste"].to_list(), strict=True))
    return np.array([taste[user] for user in split.test.histories.user_ids.tolist()])


def say(text: str) -> None:
    import sys

    print(text, file=sys.stderr, flush=True)


class Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = now - self._last
        self._last = now
