"""`unimp demo`, step by step."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from unimp.answer import Ranker
from unimp.baselines import METHODS
from unimp.baselines.baseline import TrainingData
from unimp.core.errors import DataError
from unimp.data.catalog import Attribute, Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import Split
from unimp.demo.comparison import compare
from unimp.demo.rankers import (
    NearestItems,
    alone,
    fused,
    fused_without_model,
    nearest_by_text,
)
from unimp.demo.report import write_report
from unimp.demo.result import Demo
from unimp.demo.scoreboard import keep_score
from unimp.demo.shop.settings import ShopConfig
from unimp.demo.shop.writing import hidden_items, shop_users, write_shop
from unimp.personalizer import Personalizer, load
from unimp.runs.recipe import Recipe, load_recipe
from unimp.runs.second_stage import descriptors
from unimp.runs.training_split import make_split
from unimp.train.training_run import train

UNIMP, BLIND = "UniMP", "UniMP, image-blind"
WITHOUT = "fusion without UniMP"
ALONE, BLIND_ALONE = "UniMP, model alone", "UniMP, image-blind, model alone"
SIMPLE = {"Pop": "pop", "ItemKNN": "itemknn"}


def run_demo(out: Path, *, settings: list[str] | None = None, shop: ShopConfig | None = None) -> Demo:
    """Generate, train twice (seeing and blind), compare, write `report.html` and `demo.json`.

    What is finished in `out` is used again. Raises DataError when `out` holds something else.
    """
    recipe, blind_recipe = (load_recipe(name, settings or ()) for name in ("demo", "demo-blind"))
    claim(out)
    clock = Clock()
    dataset = open_shop(out / "shop", shop)
    split = make_split(dataset, "leave-one-out")
    clock.lap("generate the shop")
    say(f"shop: {len(dataset.catalog)} items with pictures, {len(dataset.interactions.histories):,} users")
    say("training UniMP on pictures, text and histories")
    seeing = trained(dataset, recipe, out / "run")
    clock.lap("train UniMP")
    say("training its image-blind self")
    blind = trained(dataset, blind_recipe, out / "run-blind")
    clock.lap("train the image-blind self")
    say("fitting the fusion on validation, and the simple methods")
    data = TrainingData.of(split, dataset.catalog)
    simple: dict[str, Ranker] = {name: fitted(key, data) for name, key in SIMPLE.items()}
    looks = descriptors(seeing.run.artifacts)
    assert looks is not None, "the demo's recipe describes pictures"
    simple |= {"nearest by picture": NearestItems(looks), "nearest by text": nearest_by_text(data)}
    ours: dict[str, Ranker] = {
        WITHOUT: fused_without_model(seeing, data),
        BLIND_ALONE: alone(blind),
        BLIND: fused(blind),
        ALONE: alone(seeing),
        UNIMP: fused(seeing),
    }
    clock.lap("fit the fusion")
    tastes = tastes_of(dataset, split)
    comparison = compare(simple | ours, split.test, tastes)
    comparison.ranks_table(split.test, tastes).write_parquet(out / "ranks.parquet")
    clock.lap("compare")
    say("judging all six tasks")
    shown = with_hidden(dataset.catalog, out / "shop")
    references = simple | {WITHOUT: ours[WITHOUT]}
    scoreboard = keep_score(
        seeing.run, blind.run, split.test, tastes, references, shown, (ours[UNIMP], ours[BLIND])
    )
    clock.lap("judge all six tasks")
    demo = Demo(seeing, ours[UNIMP], comparison, split, scoreboard, tastes, clock.laps, out / "report.html")
    write_report(demo)
    (out / "demo.json").write_text(json.dumps(document(demo), indent=2) + "\n")
    return demo


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
        "tasks": [asdict(row) | {"ahead": row.prefetch} for row in demo.scoreboard.tasks],
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


def with_hidden(catalog: Catalog, folder: Path) -> Catalog:
    """The catalogue with what only its pictures show: colour and pattern. For the judge of pictures alone."""
    names = ("colour", "pattern")
    return replace(
        catalog,
        items=catalog.items.with_columns(hidden_items(folder).select(names)),
        attributes=(*catalog.attributes, *(Attribute(name, "category") for name in names)),
    )


def trained(dataset: Dataset, recipe: Recipe, folder: Path) -> Personalizer:
    train(dataset, recipe, folder)
    return load(folder, data=dataset.folder)


def fitted(method: str, data: TrainingData) -> Ranker:
    baseline = METHODS[method].make()
    baseline.fit(data, seed=0)
    return baseline


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
