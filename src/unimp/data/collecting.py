"""From raw tables to items with an id and the log of their events; what cannot be used is counted."""

from __future__ import annotations

import polars as pl

from unimp.data.event_log import EventLog
from unimp.data.nearest import NearestId
from unimp.data.raw import ROW, BadRows, RawTables, Rows
from unimp.data.values import reject, required_text, shown


def valid_items(raw: RawTables, bad: BadRows) -> Rows:
    """Items with an id that no earlier row has."""
    items = required_text(raw.items, "item_id", bad)
    repeated = ~pl.col("item_id").is_first_distinct()
    items = reject(items, repeated, "item_id", "duplicate item id", "delete one of the rows", bad)
    if items.frame.is_empty() and not raw.events_add_items:
        raise bad.explain(f"{items.file}: empty catalogue: no usable item; check that it is the right file")
    return items


def collect_events(raw: RawTables, items: Rows, log: EventLog, bad: BadRows) -> tuple[Rows, dict[str, int]]:
    """Put the events of known items into `log`; the items, and what was read, by name."""
    known = items.frame.select(pl.col("item_id"), pl.int_range(pl.len(), dtype=pl.UInt32).alias("item_row"))
    if raw.aliases is not None:
        named = raw.aliases.join(known, on="item_id").select(pl.col("alias").alias("item_id"), "item_row")
        known = pl.concat([known, named.join(known, on="item_id", how="anti")]).unique(
            "item_id", keep="first"
        )
    nearest = NearestId(known["item_id"])
    file = items.file
    lost = 0
    bare: list[pl.DataFrame] = []
    described = items.frame.height
    for table in raw.events:
        file = table.file
        valid = required_text(required_text(table, "user_id", bad), "item_id", bad)
        joined = valid.frame.join(known, on="item_id", how="left", maintain_order="left")
        if joined["item_row"].null_count() and raw.events_add_items:
            fresh = joined.filter(pl.col("item_row").is_null()).select("item_id", ROW)
            bare.append(fresh.unique("item_id", keep="first", maintain_order=True))
            start = described + sum(part.height for part in bare[:-1])
            rows = pl.int_range(start, start + pl.len(), dtype=pl.UInt32).alias("item_row")
            known = pl.concat([known, bare[-1].select("item_id", rows)], rechunk=True)
            joined = valid.frame.join(known, on="item_id", how="left", maintain_order="left")
        elif joined["item_row"].null_count():
            lost += reject_unknown(Rows(table.file, joined), nearest, bad)
            joined = joined.filter(pl.col("item_row").is_not_null())
        times = as_times(joined)
        log.add(joined if times is None else joined.with_columns(times))
    if not log.events:
        raise bad.explain(f"{file}: no usable event; check that it is the right file")
    if bare:
        items = Rows(items.file, pl.concat([items.frame, *bare], how="diagonal"))
    log.num_items = items.frame.height
    counts = {"items_read": items.frame.height, "events_read": log.events, "events_of_bad_items": lost}
    if bare and described:
        counts["items_without_metadata"] = items.frame.height - described
    return items, counts


def as_times(events: pl.DataFrame) -> pl.Expr | None:
    """`timestamp` as a Datetime where a source has whole seconds."""
    if "timestamp" not in events.columns or events.schema["timestamp"].is_temporal():
        return None
    return (pl.col("timestamp").cast(pl.Int64) * 1_000_000).cast(pl.Datetime("us"))


def reject_unknown(joined: Rows, nearest: NearestId, bad: BadRows) -> int:
    """Count the events whose item the catalogue lacks; those of items whose row was bad are only returned."""
    unknown = joined.frame.filter(pl.col("item_row").is_null())
    lost = unknown["item_id"].is_in(list(bad.lost_items)) if bad.lost_items else None
    if lost is not None:
        unknown = unknown.filter(~lost)
    first = unknown.select(ROW, "item_id").head(bad.SHOWN)
    problems = [
        f"{joined.place(row)}: unknown item {shown(item_id)}{nearest.hint(item_id)}"
        for row, item_id in first.iter_rows()
    ]
    if problems:
        bad.add_many(problems, unknown.height, "unknown item")
    return 0 if lost is None else int(lost.sum())
