"""The demo's report: one HTML file with real pictures, the comparison and the training curves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.axes import Axes

from unimp.demo.cards import ItemCard, card, data_uris
from unimp.demo.result import Demo
from unimp.demo.shop.writing import shop_users
from unimp.demo.showcase import Showcase, showcase
from unimp.evaluate.bench.plots import draw
from unimp.runs.folder import LOG
from unimp.tasks.ranking import best_of

USERS_PER_TASTE = 2
SHOWN_HISTORY, SHOWN_ITEMS = 6, 6
EXPLAINED = {
    "picture": "choose by colour and pattern, which only the pictures show",
    "text": "choose by category, brand and price",
    "habit": "follow what they bought before",
}


@dataclass(frozen=True)
class Story:
    """One user: what they had, what is recommended."""

    user: str
    taste: str
    style: str
    history: tuple[ItemCard, ...]
    earlier: int
    recommended: tuple[ItemCard, ...]
    truth: ItemCard
    rank: int | None
    """Place of the chosen item among the shown ones."""
    shown: Showcase


def write_report(demo: Demo) -> None:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = resources.files("unimp.demo").joinpath("report.html.jinja").read_text(encoding="utf-8")
    page = environment.from_string(template).render(
        comparison=demo.comparison,
        tastes=list(demo.comparison.users_by_taste),
        explained=EXPLAINED,
        metrics=["HR@5", "NDCG@5", "HR@10"],
        scoreboard=demo.scoreboard,
        sections={task.name: task.words for task in demo.personalizer.run.artifacts.tasks},
        stories=stories(demo),
        curves=[curve(demo, "loss", "training loss"), curve(demo, "valid", "validation NDCG@5")],
        seconds=demo.seconds,
        result=demo.personalizer.run.result,
    )
    demo.report.write_text(page, encoding="utf-8")


def stories(demo: Demo) -> list[Story]:
    """The first users of each taste, in file order: nobody picked the good ones."""
    chosen = [
        int(row)
        for taste in demo.comparison.users_by_taste
        for row in np.flatnonzero(demo.tastes == taste)[:USERS_PER_TASTE]
    ]
    return [story(demo, row) for row in chosen]


def story(demo: Demo, row: int) -> Story:
    catalog = demo.personalizer.run.dataset.catalog
    cases = demo.split.test
    user = str(cases.histories.user_ids[row])
    history = [catalog.item_ids[item] for item in cases.histories.items_of(row).tolist()]
    target = catalog.item_ids[int(cases.target_rows[row])]
    shown = cases.histories.select(np.array([row]))
    answer = best_of(catalog, demo.ranker.score(shown), shown, [SHOWN_ITEMS], [True])[0]
    names = [item.item_id for item in answer]
    pictures = data_uris(catalog, [*history[-SHOWN_HISTORY:], *names, target])
    return Story(
        user,
        str(demo.tastes[row]),
        style_of(demo, user),
        tuple(card(catalog, item_id, pictures) for item_id in history[-SHOWN_HISTORY:]),
        max(0, len(history) - SHOWN_HISTORY),
        tuple(
            card(catalog, name, pictures, "bought next" if name == target else "", name == target)
            for name in names
        ),
        card(catalog, target, pictures),
        names.index(target) + 1 if target in names else None,
        showcase(demo, row),
    )


def style_of(demo: Demo, user: str) -> str:
    users = shop_users(demo.personalizer.run.dataset.folder)
    row = users.row(users["user_id"].to_list().index(user), named=True)
    wanted = [row[name] for name in ("colour", "pattern", "category", "brand", "line") if row.get(name)]
    return ", ".join(str(value) for value in wanted)


def curve(demo: Demo, key: str, label: str) -> str:
    """SVG of a logged value by epoch, for the seeing model and the blind one."""
    folder = demo.personalizer.run.folder

    def paint(axes: Axes) -> None:
        for name, run, colour in (
            ("UniMP", folder, "#3b82c4"),
            ("image-blind", folder.parent / "run-blind", "#d97b29"),
        ):
            rows = read_log(run / LOG)
            values = [row[key] if key == "loss" else row[key]["recommendation/NDCG@5"] for row in rows]
            axes.plot([row["epoch"] for row in rows], values, label=name, color=colour)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.legend()

    return draw((4.6, 2.8), paint)


def read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
