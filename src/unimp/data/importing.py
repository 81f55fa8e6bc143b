"""The one way into a data folder: raw tables -> validate -> de-duplicate -> k-core -> catalogue -> written.

A source only reads its files; every rule that decides what stays is here, so it is the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Catalog, lost_zero_hint
from unimp.data.dataset import Dataset, check_target
from unimp.data.filtering import deduplicate, k_core
from unimp.data.histories import IntArray
from unimp.data.interactions import COLUMNS, Interactions
from unimp.data.picture_check import attach_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, Rows
from unimp.data.sources import load_source
from unimp.data.splits import held_out_tests
from unimp.data.targets import count_targets
from unimp.data.values import reject, required_text

SHORTEST_TESTABLE = 3
"""Leave-one-out needs a test item, a validation item and a history."""


@dataclass(frozen=True)
class FilteredTables:
    """What is left after the filters."""

    items: pl.DataFrame
    """As read, ROW included, in file order."""
    events: pl.DataFrame
    """In the columns of `Interactions`, grouped by user, in time order."""
    new_rows: pl.DataFrame
    """`item_id`, `item_row` of the items kept."""
    counts: dict[str, int]


def import_dataset(
    source: str,
    path: Path,
    folder: Path,
    options: ImportOptions,
    *,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Dataset:
    """Read the dataset at `path`, apply the rules of `options`, and write the data folder `folder`.

    Raises DataError, and writes nothing, at the first input that is wrong beyond `options.max_bad_rows`.
    """
    check_target(folder, overwrite)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; check the path")
    bad = BadRows(options.max_bad_rows)
    raw = load_source(source).read(path, options, bad, show_progress=show_progress)
    items = valid_items(raw.items, bad)
    events, read = valid_events(raw.events, items, bad)
    kept = filter_events(items.frame, events, options)
    pictured = attach_pictures(
        Rows(items.file, kept.items),
        raw.pictures,
        options.check_pictures,
        bad,
        title=raw.title,
        show_progress=show_progress,
    )
    queries, query_counts = kept_queries(raw.queries, kept)
    interactions = Interactions(kept.events, raw.rating_scale)
    targets = count_targets(held_out_tests(interactions.histories))
    columns = ["item_id", "picture", *(attribute.name for attribute in raw.attributes)]
    return Dataset.write(
        folder,
        Catalog(pictured.items.frame.select(columns), raw.attributes, raw.title, pictured.source),
        interactions,
        source=source,
        options={"path": str(path)} | options.model_dump(mode="json", exclude_none=True),
        queries=queries,
        counts=raw.counts | read | {"bad_rows": bad.count} | kept.counts | pictured.counts | query_counts,
        notes=raw.notes
        + bad.notes
        + filter_notes(kept.counts, options)
        + targets.words("test", masked=True)
        + pictured.notes,
        overwrite=overwrite,
        extra=pictured.write_listed,
    )


def valid_items(items: Rows, bad: BadRows) -> Rows:
    """Items with an id that no earlier row has."""
    items = required_text(items, "item_id", bad)
    repeated = ~pl.col("item_id").is_first_distinct()
    items = reject(items, repeated, "item_id", "duplicate item id", "delete one of the rows", bad)
    if items.frame.is_empty():
        raise DataError(f"{items.file}: empty catalogue: no usable item; check that it is the right file")
    return items


def valid_events(tables: tuple[Rows, ...], items: Rows, bad: BadRows) -> tuple[pl.DataFrame, dict[str, int]]:
    """The events of known items in file order, with `item_row` (of `items`); and what was read."""
    known = items.frame.select("item_id").with_row_index("item_row")
    frames = []
    for table in tables:
        table = required_text(required_text(table, "user_id", bad), "item_id", bad)
        joined = table.frame.join(known, on="item_id", how="left", maintain_order="left")
        reject_unknown(Rows(table.file, joined), items, bad)
        missing = [
            pl.lit(None, dtype=kind).alias(name)
            for name, kind in COLUMNS.items()
            if name not in joined.columns
        ]
        joined = joined.filter(pl.col("item_row").is_not_null()).with_columns(*missing)
        frames.append(joined.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items()))
    events = pl.concat(frames)
    if events.is_empty():
        raise DataError(f"{tables[0].file}: no usable event; check that it is the right file")
    return events, {"items_read": items.frame.height, "events_read": events.height}


def reject_unknown(joined: Rows, items: Rows, bad: BadRows) -> None:
    """Count the events whose item the catalogue lacks; the hint is costly, so it is made only here."""
    unknown = joined.frame.filter(pl.col("item_row").is_null())
    if unknown.is_empty():
        return
    row_of = {item_id: row for row, item_id in enumerate(items.frame["item_id"])}
    for row, item_id in unknown.select(ROW, "item_id").iter_rows():
        bad.add(f'{joined.place(row)}: unknown item "{item_id}"{lost_zero_hint(item_id, row_of)}')


def filter_events(items: pl.DataFrame, events: pl.DataFrame, options: ImportOptions) -> FilteredTables:
    """Time order, de-duplication, k-core, and the catalogue that is left."""
    ordered = in_time_order(events)
    single = deduplicate(ordered, options.deduplicate)
    left = single
    if options.k_core:
        core = k_core(single["user"].to_numpy(), single["item_row"].to_numpy(), options.k_core)
        left = single.filter(pl.Series(core))
    if left.is_empty():
        raise DataError(
            f"nothing left of {single.height} events after the {options.k_core}-core; lower --k-core"
        )
    seen = np.zeros(items.height, dtype=np.bool_)
    seen[left["item_row"].to_numpy()] = True
    stays = np.ones_like(seen) if options.keep_unseen_items else seen
    new_row = np.cumsum(stays) - 1
    kept_items = items.filter(pl.Series(stays))
    counts = {
        "repeats_dropped": ordered.height - single.height,
        "below_core_dropped": single.height - left.height,
        "unseen_items": int((~seen & stays).sum()),
        "items_dropped": items.height - kept_items.height,
        "items": kept_items.height,
        "events": left.height,
    }
    renumbered = left.with_columns(pl.Series("item_row", new_row[left["item_row"].to_numpy()]))
    return FilteredTables(
        kept_items,
        renumbered.select(list(COLUMNS)),
        kept_items.select("item_id").with_row_index("item_row"),
        counts | user_counts(left["user"].to_numpy()),
    )


def in_time_order(events: pl.DataFrame) -> pl.DataFrame:
    """Users by first appearance, numbered in `user`; each in time order, ties in the order of the file."""
    users = events.select("user_id").unique(maintain_order=True).with_row_index("user")
    joined = events.join(users, on="user_id", how="left", maintain_order="left")
    return joined.sort("user", "timestamp", maintain_order=True, nulls_last=True)


def user_counts(users: IntArray) -> dict[str, int]:
    """How many users own the events, and how many have too few; DataError when all have."""
    lengths = np.unique(users, return_counts=True)[1]
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
    users = kept.events.select("user_id").unique()
    left = (
        queries.frame.join(kept.new_rows, on="item_id", how="left", maintain_order="left")
        .join(users, on="user_id", how="semi", maintain_order="left")
        .filter(pl.col("item_row").is_not_null() | pl.col("item_id").is_null())
    )
    counts = {"queries": left.height, "queries_dropped": queries.frame.height - left.height}
    return left.select("user_id", "item_row", "timestamp", "text"), counts


def filter_notes(counts: dict[str, int], options: ImportOptions) -> tuple[str, ...]:
    """What the filters did, in words; what they did not do is not said."""
    said = []
    if counts["repeats_dropped"]:
        said.append(
            f"{counts['repeats_dropped']} repeated event(s) dropped: a user's {options.deduplicate} event "
            "with an item stays"
        )
    if counts["below_core_dropped"]:
        said.append(f"{counts['below_core_dropped']} event(s) dropped by the {options.k_core}-core")
    if counts["items_dropped"]:
        said.append(f"{counts['items_dropped']} item(s) without an event left out of the catalogue")
    if counts["users_under_3_events"]:
        said.append(f"{counts['users_under_3_events']} user(s) with fewer than 3 events: they only train")
    return tuple(said)
