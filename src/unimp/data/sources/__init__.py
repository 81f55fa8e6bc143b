"""The dataset layouts that `unimp data import` knows. A new one is a file here and a line in SOURCES."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unimp.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from unimp.data.raw import Deduplication, Source


@dataclass(frozen=True)
class SourceEntry:
    """Where a source lives, what it is, the filters it has unless told otherwise, the options it takes."""

    target: str
    """`module:Class`."""
    help: str
    k_core: int = 0
    deduplicate: Deduplication = "none"
    options: tuple[str, ...] = ()
    """Options of ImportOptions, beyond those that all sources take."""


SOURCES: dict[str, SourceEntry] = {
    "hm": SourceEntry(
        "unimp.data.sources.hm:HM",
        "H&M Personalized Fashion (Kaggle folder)",
        k_core=5,
        deduplicate="first",
        options=("transactions", "pictures"),
    ),
    "movielens": SourceEntry(
        "unimp.data.sources.movielens:MovieLens",
        "MovieLens latest, 32M, 25M, 20M, 10M, 1M or 100k (folder)",
        k_core=5,
        options=("pictures",),
    ),
    "amazon": SourceEntry(
        "unimp.data.sources.amazon:Amazon",
        "Amazon reviews 2014, 2018 or 2023 (folder or review file)",
        k_core=5,
        options=("items", "events", "pictures"),
    ),
    "amazon-csv": SourceEntry(
        "unimp.data.sources.amazon_csv:AmazonCsv",
        "Amazon reviews 2023 as CSV, ratings only or the published splits (folder or file)",
        k_core=5,
        options=("items", "events", "pictures"),
    ),
    "yelp": SourceEntry(
        "unimp.data.sources.yelp:Yelp",
        "Yelp open data set (folder)",
        k_core=5,
        options=("pictures",),
    ),
    "goodreads": SourceEntry(
        "unimp.data.sources.goodreads:Goodreads",
        "Goodreads book graph (folder)",
        k_core=5,
        options=("items", "events", "pictures"),
    ),
    "mind": SourceEntry(
        "unimp.data.sources.mind:Mind",
        "MIND news clicks (folder of a part, or of several)",
        deduplicate="first",
        options=("pictures",),
    ),
    "retailrocket": SourceEntry(
        "unimp.data.sources.retailrocket:Retailrocket",
        "Retailrocket views, carts and transactions (folder)",
        k_core=5,
        options=("events", "pictures"),
    ),
    "recbole": SourceEntry(
        "unimp.data.sources.recbole:RecBole",
        "RecBole's atomic files (folder or .inter file)",
        options=("events", "pictures"),
    ),
    "shopify": SourceEntry(
        "unimp.data.sources.shopify:Shopify",
        "Shopify's exports of products and orders (folder)",
        options=("items", "events", "pictures"),
    ),
    "woocommerce": SourceEntry(
        "unimp.data.sources.woocommerce:WooCommerce",
        "WooCommerce's exports of products and orders (folder)",
        options=("items", "events", "pictures"),
    ),
    "netflix": SourceEntry(
        "unimp.data.sources.netflix:Netflix",
        "Netflix as LLMRec publishes it (folder)",
        options=("pictures",),
    ),
    "sequences": SourceEntry(
        "unimp.data.sources.sequences:Sequences",
        "lines of `user item item …` (folder or file)",
        options=("items", "events"),
    ),
    "csv": SourceEntry(
        "unimp.data.sources.csv_tables:CsvTables",
        "your own tables: CSV, JSON lines, Parquet (folder, or file of events)",
        options=(
            *("items", "events", "further_events", "map", "mapping", "rating_scale", "pictures"),
            *("delimiter", "encoding", "decimal", "time_format", "where", "kinds", "undated"),
        ),
    ),
}


def source_entry(name: str) -> SourceEntry:
    """The entry of `name`; ConfigError says what was meant."""
    if name not in SOURCES:
        raise ConfigError(f"unknown source {name!r}{did_you_mean(name, SOURCES)}")
    return SOURCES[name]


def load_source(name: str) -> Source:
    """The source `name`, imported only now."""
    module, _, attribute = source_entry(name).target.partition(":")
    source: Source = getattr(importlib.import_module(module), attribute)()
    return source
