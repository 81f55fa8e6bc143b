"""The recipe that follows the data: facts are counted, a few rules choose, and each choice has its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unimp.core.config import dotted, merge, nest, parse_overrides
from unimp.data.dataset import Dataset
from unimp.data.histories import NO_TIME
from unimp.features.item_graph import EASE_MAX_ITEMS
from unimp.runs.recipe import BASE, Recipe, recipe_of
from unimp.runs.training_config import SAMPLED_FROM

NAME = "from-data"
"""Of what comes out."""
BASKET_SHARE = 0.5
"""Share of a user's successive events at one and the same time from which on a history is one of baskets."""
LONG_HISTORY = 50
"""Median number of events above which histories are read in windows."""
MANY_ITEMS, HUGE = 10_000, 500_000
POSITIONS = {"cpu": 60_000_000, "cuda": 2_000_000_000}
"""Item positions that all epochs together may have: one to two hours on one core, or on one GPU (the latter
by its usual rate, not measured)."""
SCORES_AN_EPOCH = 100_000_000
"""Scores of validation users by items after an epoch."""

KEYS: dict[str, tuple[str, ...]] = {
    "tasks": ("tasks",),
    "structure": ("structure.kind", "structure.l2", "structure.neighbours"),
    "softmax": ("objective.softmax", "objective.negatives", "objective.negatives_power"),
    "horizon": ("objective.horizon", "objective.horizon_decay"),
    "window": ("sentence.max_items", "model.dropout", "model.input_dropout"),
    "width": ("model.width",),
    "epochs": ("train.epochs",),
    "batch": ("train.batch_positions",),
    "validation": ("train.valid_users",),
    "content": ("content.text", "vision.enabled"),
}
"""What each line of the table decides."""


@dataclass(frozen=True)
class DataFacts:
    """What is counted of a data set and its machine."""

    items: int
    users: int
    events: int
    median_length: float
    longest: int
    basket_share: float
    """Of successive events of one user, the share at the same time; 0 without times."""
    pictures: int
    """Items with a picture."""
    texts: int
    """Attributes that have words."""
    rated: float
    """Share of events with a rating."""
    reviews: int
    """Events with a written review."""
    device: str
    """`cpu` or `cuda`."""

    @classmethod
    def of(cls, dataset: Dataset, device: torch.device) -> DataFacts:
        catalog, histories = dataset.catalog, dataset.interactions.histories
        lengths, times = histories.lengths, histories.times
        owners = histories.owners()
        same_user = owners[1:] == owners[:-1]
        ties = same_user & (times[1:] == times[:-1]) & (times[1:] != NO_TIME)
        return cls(
            items=len(catalog),
            users=len(histories),
            events=histories.num_events,
            median_length=float(np.median(lengths)),
            longest=int(lengths.max()),
            basket_share=float(ties.sum() / max(int(same_user.sum()), 1)),
            pictures=int(catalog.items["picture"].is_not_null().sum()) if catalog.pictures is not None else 0,
            texts=sum(attribute.kind != "number" for attribute in catalog.attributes),
            rated=float(np.mean(~np.isnan(histories.ratings))),
            reviews=int(dataset.interactions.events["review"].is_not_null().sum()),
            device=device.type,
        )


@dataclass(frozen=True)
class RecipeChoice:
    """One line of the table: what was chosen, and why."""

    what: str
    reason: str
    settings: Mapping[str, Any]
    """Dotted key -> value, where it differs from the recipe `small`."""
    value: str = ""
    """In words, where the settings do not say it."""


def choices(facts: DataFacts) -> list[RecipeChoice]:
    """What the facts speak for, in the order of the table."""
    return [
        tasks(facts),
        structure(facts),
        softmax(facts),
        horizon(facts),
        window(facts),
        width(facts),
        epochs(facts),
        batch(facts),
        validation(facts),
        content(facts),
    ]


def tasks(facts: DataFacts) -> RecipeChoice:
    further = []
    if facts.rated > 0:
        further.append(f"rating ({facts.rated:.0%} of the events are rated)")
    if facts.reviews:
        further.append(f"explanation ({facts.reviews:,} reviews)")
    if facts.texts:
        further.append("search and selection (items have words)")
    allowed = (
        f"the data allow {', '.join(further)} too: --set tasks=[…]" if further else "no words, no ratings"
    )
    return RecipeChoice("tasks", allowed, {}, "recommendation")


def structure(facts: DataFacts) -> RecipeChoice:
    settings: dict[str, Any] = {}
    if facts.items > EASE_MAX_ITEMS:
        value, reason = "slim", f"{facts.items:,} items: EASE takes {EASE_MAX_ITEMS:,} at most"
        settings["structure.l2"] = 50.0
        if facts.items >= HUGE:
            settings["structure.neighbours"] = 100
    else:
        value, reason = "ease", f"{facts.items:,} items: their inverse takes {facts.items**2 / 2**28:.1f} GiB"
        if facts.basket_share >= BASKET_SHARE:
            settings["structure.l2"] = 20.0
            reason += "; baskets say much of few items"
    return RecipeChoice("structure", reason, settings, value)


def softmax(facts: DataFacts) -> RecipeChoice:
    least = SAMPLED_FROM[facts.device]
    side = "from" if facts.items >= least else "below"
    value = "sampled" if facts.items >= least else "full"
    return RecipeChoice("softmax", f"{facts.items:,} items, {side} {least:,} on ({facts.device})", {}, value)


def horizon(facts: DataFacts) -> RecipeChoice:
    share = f"{facts.basket_share:.0%} of successive events have one and the same time"
    if facts.basket_share >= BASKET_SHARE:
        settings = {"objective.horizon": 4, "objective.horizon_decay": 0.6}
        return RecipeChoice("horizon", f"{share}: order within a basket says little", settings)
    return RecipeChoice("horizon", share, {}, "the next item")


def window(facts: DataFacts) -> RecipeChoice:
    reason = (
        f"half of the histories have {facts.median_length:g} events or more, the longest {facts.longest:,}"
    )
    if facts.median_length > LONG_HISTORY:
        settings = {"sentence.max_items": 100, "model.dropout": 0.3, "model.input_dropout": 0.3}
        return RecipeChoice("window", f"{reason}: long ones teach much, so less is dropped", settings)
    return RecipeChoice("window", reason, {}, "50 items")


def width(facts: DataFacts) -> RecipeChoice:
    if facts.items >= MANY_ITEMS and facts.device == "cpu":
        reason = f"{facts.items:,} items on a CPU: table and softmax grow with items x width"
        return RecipeChoice("width", reason, {"model.width": 64})
    return RecipeChoice("width", f"{facts.items:,} items ({facts.device})", {}, "128")


def epochs(facts: DataFacts) -> RecipeChoice:
    most = 30 if facts.basket_share >= BASKET_SHARE else 40
    reason = "several right answers a prediction are learned sooner" if most == 30 else "with early stopping"
    if (affordable := POSITIONS[facts.device] // max(facts.events, 1)) < most:
        most = max(3, affordable)
        reason = f"{facts.events:,} events: about {POSITIONS[facts.device]:,} positions in all"
    return (
        RecipeChoice("epochs", reason, {}, "30")
        if most == 30
        else RecipeChoice("epochs", reason, {"train.epochs": most})
    )


def batch(facts: DataFacts) -> RecipeChoice:
    if facts.device == "cuda" and facts.events >= 1_000_000:
        return RecipeChoice("batch", "a large log on a GPU", {"train.batch_positions": 8192})
    return RecipeChoice("batch", f"{facts.events:,} events ({facts.device})", {}, "2,048 positions")


def validation(facts: DataFacts) -> RecipeChoice:
    users = min(5000, max(500, SCORES_AN_EPOCH // facts.items))
    reason = f"each is scored against {facts.items:,} items after every epoch"
    if users < 5000:
        return RecipeChoice("validation", reason, {"train.valid_users": users})
    return RecipeChoice("validation", reason, {}, "5,000 users")


def content(facts: DataFacts) -> RecipeChoice:
    counted = {
        f"{facts.texts} attributes with words": facts.texts,
        f"{facts.pictures:,} pictures": facts.pictures,
    }
    read = [name for name, count in counted.items() if count]
    value = " and ".join(name.split()[-1] for name in read)
    return RecipeChoice("content", ", ".join(read) or "nothing but ids", {}, value or "identities alone")


def chosen_recipe(facts: DataFacts, settings: Iterable[str] = ()) -> Recipe:
    """The recipe `small` with the choices laid upon it, and `--set` laid upon those: an explicit key wins."""
    tables: dict[str, Any] = {"name": NAME}
    for choice in choices(facts):
        for key, value in choice.settings.items():
            tables = merge(tables, nest(key, value))
    return recipe_of(BASE, merge(tables, Recipe.current_keys(parse_overrides(settings), "--set")))


def choice_lines(facts: DataFacts, settings: Iterable[str] = ()) -> list[str]:
    """The table of the choices for a terminal; what `--set` replaced is marked."""
    given = dotted(Recipe.current_keys(parse_overrides(settings), "--set"))
    rows = []
    for choice in choices(facts):
        replaced = {key: value for key, value in given.items() if key in KEYS[choice.what]}
        said = [f"{key} = {value}" for key, value in choice.settings.items() if key not in replaced]
        said += [f"{key} = {value} (as given)" for key, value in replaced.items()]
        value = "" if replaced else choice.value
        rows.append((choice.what, "; ".join(filter(None, [value, *said])), choice.reason))
    wide = max(len(value) for _, value, _ in rows)
    return [f"{what:11} {value:{min(wide, 48)}}  {reason}" for what, value, reason in rows]
