"""The one template: order, budgets, missing values, truncation."""

from __future__ import annotations

import polars as pl
import pytest

from unimp.core.errors import ConfigError
from unimp.data.catalog import Attribute, Catalog
from unimp.sentence.parts import (
    Answer,
    Image,
    ItemMention,
    Rating,
    Start,
    TaskDescription,
    Text,
    Truncation,
)
from unimp.sentence.template import HistoryEvent, SentenceConfig, Template

CATALOG = Catalog(
    pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "picture": ["a.png", None],
            "title": ["a very long red thing", "short"],
            "brand": ["Acme", None],
            "price": [9.5, None],
        }
    ),
    (Attribute("title", "text"), Attribute("brand", "category"), Attribute("price", "number")),
    "title",
)


def write(events: list[HistoryEvent], **config: object) -> tuple[object, ...]:
    template = Template(CATALOG, SentenceConfig.model_validate(config))
    return template.history(events, "what next").done().parts


def test_order_is_mention_picture_attributes_rating() -> None:
    parts = write([HistoryEvent(0, 4.0), HistoryEvent(1)], ratings=True, budgets={"title": 3})
    assert parts == (
        Start(),
        TaskDescription("what next"),
        ItemMention(0, 0),
        Image(0, 0, present=True),
        Text("title", "a very long", 0),
        Text("brand", "Acme", 0),
        Text("price", "9.5", 0),
        Rating(4.0, 0),
        ItemMention(1, 1),
        Image(1, 1, present=False),
        Text("title", "short", 1),
        Rating(None, 1),
    )


def test_missing_values_are_told_when_asked() -> None:
    parts = write([HistoryEvent(1)], show_missing=True, fields=["brand", "title"], task_words=False)
    assert parts == (
        Start(),
        ItemMention(1, 0),
        Image(1, 0, present=False),
        Text("brand", None, 0),
        Text("title", "short", 0),
    )


def test_what_is_cut_is_counted() -> None:
    template = Template(CATALOG, SentenceConfig(fields=("title",), default_budget=2, max_items=2))
    sentence = template.history([HistoryEvent(1), HistoryEvent(0), HistoryEvent(0)], "x").done()
    assert sentence.truncation == Truncation(items=1, words=6)
    assert [part.item_row for part in sentence.parts if isinstance(part, ItemMention)] == [0, 0]
    assert template.history([], "x").done().truncation == Truncation()


def test_texts_of_replaced_items_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue whose prices change every hour would fill the memory of a server that runs for months."""
    monkeypatch.setattr("unimp.sentence.template.LEAST_BLOCKS", 3)
    template = Template(CATALOG, SentenceConfig())
    for price in range(20):
        priced = CATALOG.items.with_columns(pl.lit(price + 0.5).alias("price"))
        template = template.with_catalog(Catalog(priced, CATALOG.attributes, CATALOG.title))
        assert dict(template.attributes(0)[0])["price"] == f"{price}.5"
    assert template._cut.cache_info().currsize == 4


def test_answer_comes_last() -> None:
    sentence = Template(CATALOG, SentenceConfig(fields=())).history([HistoryEvent(0)], "x").answer().done()
    assert isinstance(sentence.parts[-1], Answer)


def test_unknown_fields_are_named() -> None:
    with pytest.raises(ConfigError, match="no attribute 'brnd'; did you mean \"brand\""):
        Template(CATALOG, SentenceConfig(fields=("brnd",)))
    with pytest.raises(ConfigError, match="no attribute 'titel'"):
        Template(CATALOG, SentenceConfig(budgets={"titel": 3}))
