"""The one way into a data folder: raw tables -> validate -> de-duplicate -> k-core -> catalogue -> written.

A source only reads its files; every rule that decides what stays is here, so it is the same for all. Events
pass through table by table; memory holds the items, the users' ids, and what `EventLog` allows itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet

from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.collecting import collect_events, valid_items
from unimp.data.dataset import Dataset, Manifest, check_target, write_folder
from unimp.data.event_log import EventLog, Rules, SortedEvents, Sorter
from unimp.data.histories import IntArray
from unimp.data.picture_check import attach_pictures
from unimp.data.raw import BadRows, ImportOptions, RawTables, Rows
from unimp.data.sources import load_source

SHORTEST_TESTABLE = 3
"""Leave-one-out needs a test item, a validation item and a history."""


@dataclass(frozen=True)
class FilteredTables:
    """What is left after the filters."""

    items: pl.DataFrame
    """As read, ROW included, in file order."""
    events: SortedEvents
    new_row: IntArray
    """[items read] the row of each item kept."""
    users: pl.DataFrame
    """`user_id` of the users who have an event left."""
    counts: dict[str, int]

    @property
    def new_rows(self) -> pl.DataFrame:
        """`item_id`, `item_row` of the items kept."""
        return self.items.select("item_id").with_row_index("item_row")


def import_dataset(
    source: str,
    path: Path,
    folder: Path,
    options: ImportOptions,
    *,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Dataset:
    """`import_folder`, and the dataset opened."""
    import_folder(source, path, folder, options, overwrite=overwrite, show_progress=show_progress)
    return Dataset.load(folder)


def import_folder(
    source: str,
    path: Path,
    folder: Path,
    options: ImportOptions,
    *,
    overwrite: bool = False,
    show_progress: bool = False,
    sort: Sorter | None = None,
) -> Manifest:
    """Read the dataset at `path`, apply the rules of `options`, and write the data folder `folder`.

    `sort` sorts a log that is too large for memory; None: this process does.

    Raises DataError, and writes nothing, when more rows are wrong than `options.max_bad_rows`.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")

    def read(bad: BadRows) -> RawTables:
        return load_source(source).read(path, options, bad, show_progress=show_progress)

    given = {"path": str(path)}
    return import_raw(
        read, source, given, folder, options, overwrite=overwrite, show_progress=show_progress, sort=sort
    )


def import_raw(
    read: Callable[[BadRows], RawTables],
    source: str,
    given: dict[str, str],
    folder: Path,
    options: ImportOptions,
    *,
    overwrite: bool,
    show_progress: bool,
    sort: Sorter | None = None,
) -> Manifest:
    """Write the tables that `read` gives; `given` says in the manifest where they come from."""
    check_target(folder, overwrite)
    bad = BadRows(options.max_bad_rows)
    raw = read(bad)
    items = valid_items(raw, bad)
    with EventLog(items.frame.height, folder) as log:
        items, counts = collect_events(raw, items, log, bad)
        bad.settle()
        kept = filter_events(items.frame, log, options, raw.ordered, sort)
        pictured = attach_pictures(
            Rows(items.file, kept.items),
            raw.pictures,
            options.check_pictures,
            bad,
            title=raw.title,
            show_progress=show_progress,
        )
        bad.settle()
        targets = kept.events.count_test_targets()
        queries, query_counts = kept_queries(raw.queries, kept)
        columns = ["item_id", "picture", *(attribute.name for attribute in raw.attributes)]
        counts = raw.counts | counts | {"bad_rows": bad.count} | kept.counts | pictured.counts | query_counts
        return write_folder(
            folder,
            Catalog(pictured.items.frame.select(columns), raw.attributes, raw.title, pictured.source),
            lambda file: write_events(kept, file),
            raw.rating_scale,
            source=source,
            options=given | options.model_dump(mode="json", exclude_none=True),
            queries=queries,
            counts=counts,
            notes=raw.notes
            + bad.notes
            + filter_notes(counts, options)
            + targets.words("test", masked=True)
            + pictured.notes,
            overwrite=overwrite,
            extra=pictured.write_listed,
        )


def write_events(kept: FilteredTables, file: Path) -> None:
    """The events' Parquet file, part by part."""
    tables = kept.events.tables(kept.new_row)
    first = next(tables)
    second = next(tables, None)
    if second is None:
        first.write_parquet(file, compression="zstd")
        return
    level = pl.CompatLevel.oldest()
    schema = first.to_arrow(compat_level=level).schema
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in itertools.chain([first, second], tables):
            writer.write_table(table.to_arrow(compat_level=level))


def filter_events(
    items: pl.DataFrame, log: EventLog, options: ImportOptions, ordered: bool, sort: Sorter | None = None
) -> FilteredTables:
    """Time order, de-duplication, k-core, and the catalogue that is left."""
    events = log.sorted(Rules(options.deduplicate, ordered), sort)
    before = events.events
    below = events.keep_core(options.k_core) if options.k_core else 0
    if not events.events:
        raise DataError(f"nothing left of {before} events after the {options.k_core}-core; lower --k-core")
    seen = events.seen > 0
    stays = np.ones_like(seen) if options.keep_unseen_items else seen
    kept_items = items.filter(pl.Series(stays))
    lengths = events.user_lengths()
    counts = {
        "repeats_dropped": events.repeats,
        "returned_dropped": events.returned,
        "exact_duplicates": events.duplicates,
        "below_core_dropped": below,
        "unseen_items": int((~seen & stays).sum()),
        "items_dropped": items.height - kept_items.height,
        "items": kept_items.height,
        "events": events.events,
    }
    return FilteredTables(
        kept_items,
        events,
        (np.cumsum(stays) - 1).astype(np.int64),
        log.user_ids().alias("user_id").to_frame().filter(pl.Series(lengths > 0)),
        counts | user_counts(lengths[lengths > 0]),
    )


def user_counts(lengths: IntArray) -> dict[str, int]:
    """How many users have events, `lengths` of them, and how many have too few; DataError when all have."""
    if lengths.max() < SHORTEST_TESTABLE:
        raise DataError(
            f"no user has {SHORTEST_TESTABLE} events (the longest history has {lengths.max()}): "
            "nothing can be held out; lower --k-core or bring more data"
        )
    return {"users": len(lengths), "users_under_3_events": int((lengths < SHORTEST_TESTABLE).sum())}


def kept_queries(queries: Rows | None, kept: FilteredTables) -> tuple[pl.DataFrame | None, dict[str, int]]:
    """The queries of the users and about the items that are left."""
    if queries is None:
        return None, {}
    left = (
        queries.frame.join(kept.new_rows, on="item_id", how="left", maintain_order="left")
        .join(kept.users, on="user_id", how="semi", maintain_order="left")
        .filter(pl.col("item_row").is_not_null() | pl.col("item_id").is_null())
    )
    if left.schema["timestamp"].is_temporal():
        left = left.with_columns(pl.col("timestamp").dt.epoch("s"))
    counts = {"queries": left.height, "queries_dropped": queries.frame.height - left.height}
    return left.select("user_id", "item_row", "timestamp", "text"), counts


def filter_notes(counts: dict[str, int], options: ImportOptions) -> tuple[str, ...]:
    """What the filters did, in words; what they did not do is not said."""
    said = []
    if counts.get("items_without_metadata"):
        said.append(f"{counts['items_without_metadata']} items without metadata")
    if counts["events_of_bad_items"]:
        said.append(f"{counts['events_of_bad_items']} event(s) of items whose row was bad left out")
    if counts["returned_dropped"]:
        said.append(f"{counts['returned_dropped']} event(s) of returns and of what was returned left out")
    if counts["repeats_dropped"]:
        rule = (
            "rows that are wholly the same"
            if options.deduplicate == "exact"
            else f"a user's {options.deduplicate} event with an item stays"
        )
        said.append(f"{counts['repeats_dropped']} repeated event(s) dropped: {rule}")
    if counts["exact_duplicates"]:
        said.append(
            f"{counts['exact_duplicates']} event(s) are the same as another in time, item and all else; "
            "--deduplicate exact drops them"
        )
    if counts["below_core_dropped"]:
        said.append(f"{counts['below_core_dropped']} event(s) dropped by the {options.k_core}-core")
    if counts["items_dropped"]:
        said.append(f"{counts['items_dropped']} item(s) without an event left out of the catalogue")
    if counts["users_under_3_events"]:
        said.append(f"{counts['users_under_3_events']} user(s) with fewer than 3 events: they only train")
    return tuple(said)
