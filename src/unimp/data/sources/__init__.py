"""The dataset layouts that `unimp data import` reads. A new one is a file here and a line in `OWN`.

Or it is a `SourceEntry` of another package, named by the entry point group `unimp.sources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unimp.core.registry import BrokenContract, Registry, imported

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


def checked_source(name: str, found: Any) -> SourceEntry:
    """The entry of a source from another package; BrokenContract when it is none."""
    if not isinstance(found, SourceEntry):
        raise BrokenContract("is no SourceEntry of unimp.data.sources; name one")
    if not hasattr(imported(found.target), "read"):
        raise BrokenContract(f"{found.target} has no `read`; give the class one")
    return found


OWN: dict[str, SourceEntry] = {
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
        options=("items", "events", "pictures", "time_format"),
    ),
    "woocommerce": SourceEntry(
        "unimp.data.sources.woocommerce:WooCommerce",
        "WooCommerce's exports of products and orders (folder)",
        options=("items", "events", "pictures", "time_format"),
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
            *("separator", "delimiter", "encoding", "decimal", "time_format", "where", "kinds", "undated"),
        ),
    ),
}
"""The layouts of this room."""

SOURCES: Registry[SourceEntry] = Registry("source", "unimp.sources", OWN, checked_source)
"""Every layout by its name on the command line, those of installed packages included."""


def load_source(name: str) -> Source:
    """The source `name`, imported only now; ConfigError says what was meant."""
    source: Source = imported(SOURCES.find(name).target)()
    return source
