"""Twelve items, one user: small enough to write every sentence out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import Cases, Histories
from unimp.data.interactions import COLUMNS, Interactions, RatingScale
from unimp.sentence.template import SentenceConfig, Template
from unimp.tasks.context import TaskContext

NUM_ITEMS = 12
KINDS = ["mug", "lamp"] * 6
MAKERS = ["Halden"] * 7 + ["Okapi"] * 4 + [None]
"""Okapi makes too few to be asked for."""
CATALOG = Catalog(
    pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(NUM_ITEMS)],
            "picture": [None, *(f"{row}.png" for row in range(1, NUM_ITEMS))],
            "title": [f"thing{row}" for row in range(NUM_ITEMS)],
            "kind": KINDS,
            "maker": MAKERS,
        }
    ),
    (Attribute("title", "text"), Attribute("kind", "category"), Attribute("maker", "category")),
    "title",
)
HISTORY = (3, 5, 1, 8)
"""What the user had, in order; the last one is held out."""
RATINGS = (4.0, None, 2.0, 5.0)
REVIEWS = (
    "The light of this lamp is warm.",
    None,
    "This lamp broke after one day.",
    "A mug to keep for many years.",
)
CODES = np.arange(NUM_ITEMS * 2).reshape(NUM_ITEMS, 2) % 16
"""[12, 2] codes of the pictures."""


def events() -> pl.DataFrame:
    """The interaction table of one user."""
    columns = {
        "user_id": ["ann"] * len(HISTORY),
        "item_row": list(HISTORY),
        "timestamp": list(range(len(HISTORY))),
        "rating": list(RATINGS),
        "summary": [None] * len(HISTORY),
        "review": list(REVIEWS),
    }
    return pl.DataFrame(columns, schema=COLUMNS)


def whole() -> Histories:
    return Interactions(events()).histories


def training() -> Histories:
    return whole().first(-1)


def held_out() -> Cases:
    return Cases(training(), np.array([HISTORY[-1]]), np.array([len(HISTORY) - 1]))


def context(queries: pl.DataFrame | None = None, **config: object) -> TaskContext:
    """No attributes in the sentence unless `fields` names some."""
    template = Template(CATALOG, SentenceConfig.model_validate({"fields": [], **config}))
    codes = CODES.copy()
    codes[0] = -1
    made = TaskContext(CATALOG, template, training(), RatingScale(1, 5, 1), events(), queries)
    return replace(made, codes=codes)
