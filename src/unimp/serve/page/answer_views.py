"""`AnswerView`: a task's answer as the page shows it, made from the fields of its class."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from unimp.core.images import png_bytes
from unimp.serve.schemas import ItemOut
from unimp.tasks.task import AnyTask


@dataclass(frozen=True)
class AnswerCard:
    """One item of an answer."""

    item: ItemOut
    note: str
    """Its probability, where the answer has one."""
    chosen: bool


@dataclass(frozen=True)
class AnswerView:
    """Everything that the template of an answer may show; what an answer lacks is empty."""

    cards: tuple[AnswerCard, ...]
    pictures: tuple[str, ...]
    """PNG in base64."""
    levels: tuple[tuple[float, float], ...]
    """Value and probability."""
    mean: float | None
    text: str
    because: tuple[str, ...]
    """Sentences that tie the answer to the history."""
    lines: tuple[str, ...]
    """For an answer with none of these: what the command line prints."""
    empty: bool
    """The answer is a list of items, and there is none in it."""


def item_ids(answer: Any) -> list[str]:
    """The items that the answer lists."""
    return [entry.item_id for entry in listed_items(answer)]


def listed_items(answer: Any) -> Sequence[Any]:
    """The answer's first list of objects that have an `item_id`."""
    for value in values_of(answer).values():
        if isinstance(value, tuple) and value and hasattr(value[0], "item_id"):
            return value
    return ()


def view_of(task: AnyTask, answer: Any, items: Mapping[str, ItemOut]) -> AnswerView:
    """`items`: what is known of the answer's items, by id."""
    values = values_of(answer)
    listed = sorted(listed_items(answer), key=lambda entry: -getattr(entry, "probability", 0.0))
    cards = tuple(card(entry, items[entry.item_id]) for entry in listed if entry.item_id in items)
    pictures = tuple(
        base64.b64encode(png_bytes(picture)).decode()
        for value in values.values()
        if isinstance(value, tuple)
        for picture in value
        if isinstance(picture, np.ndarray)
    )
    levels = tuple(zip(values.get("levels", ()), values.get("probabilities", ()), strict=True))
    # a text that the request gave is an echo, not an answer
    text = "" if "text" in task.Request.model_fields else values.get("text", "")
    empty = (
        not listed and not pictures and any(value == () for name, value in values.items() if name == "items")
    )
    lines = () if cards or pictures or levels or text or empty else tuple(task.lines(answer))
    because = tuple(values.get("because", ()))
    mean = values.get("mean") if levels else None
    return AnswerView(cards, pictures, levels, mean, text, because, lines, empty)


def values_of(answer: Any) -> dict[str, Any]:
    """The answer's own fields by name."""
    names = (field.name for field in fields(answer))
    return {name: getattr(answer, name) for name in names if name not in {"history", "cold_start"}}


def card(entry: Any, item: ItemOut) -> AnswerCard:
    probability = getattr(entry, "probability", None)
    note = "" if probability is None else f"{100 * probability:.0f} %"
    return AnswerCard(item, note, bool(getattr(entry, "chosen", False)))
