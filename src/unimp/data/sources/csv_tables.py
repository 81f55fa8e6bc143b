"""One's own tables: a table of items, one or more of events, and what each column means.

CSV of any dialect, JSON lines, Parquet or Arrow files; `read_tables` also takes frames that are in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unimp.core.errors import ConfigError, DataError
from unimp.data.interactions import RatingScale
from unimp.data.own_events import EventReader
from unimp.data.own_items import items_of_events, read_items
from unimp.data.picture_check import USUAL_PICTURES, find_pictures
from unimp.data.pictures import PictureSource
from unimp.data.raw import BadRows, ImportOptions, RawTables
from unimp.data.roles import (
    USUAL_EVENTS,
    USUAL_ITEMS,
    MappingFile,
    Roles,
    assign_events,
    assign_items,
    parse_map,
    read_settings,
)
from unimp.data.tables import SourceTable, kind_suffix, open_table

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".feather", ".arrow")
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")


class CsvTables:
    """Any shop's export; pictures are named by the table, or else looked up by item id."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        settings = read_settings(options)
        folder = path if path.is_dir() else path.parent
        items_file = find_items(folder, settings.items)
        event_files = [path] if not path.is_dir() else find_events(folder, settings.events, items_file)
        for further in options.further_events:
            event_files += find_events(folder, further, items_file)
        known = {*USUAL_ITEMS, *USUAL_EVENTS, *settings.item_columns, *settings.event_columns}
        known |= {setting.rpartition("=")[0] for setting in options.map}

        def opened(file: Path) -> SourceTable:
            return open_table(file, settings.delimiter, settings.encoding, known)

        items = opened(items_file) if items_file is not None else None
        events = [opened(file) for file in event_files]
        pictures = find_pictures(options.pictures, folder, USUAL_PICTURES)
        named = PictureSource(items_file.parent) if items_file is not None else None
        return read_tables(
            items, events, settings, options.map, bad,
            pictures=pictures, beside=named, show_progress=show_progress,
        )  # fmt: skip


def read_tables(
    items: SourceTable | None,
    events: Sequence[SourceTable],
    settings: MappingFile,
    given: Sequence[str],
    bad: BadRows,
    *,
    pictures: PictureSource | None = None,
    beside: PictureSource | None = None,
    show_progress: bool = False,
) -> RawTables:
    """The dataset in these tables; `given` is `column=role` each.

    `pictures` holds them all; without it, those that the items name lie `beside` the table.
    """
    roles_given = parse_map(given, [*([items] if items is not None else []), *events], items)
    item_roles = assign_items(items, settings, roles_given) if items is not None else None
    event_roles = [
        assign_events(table, settings, roles_given, describe_items=items is None) for table in events
    ]
    if item_roles is not None:
        item_roles.required("id")
    rated = any(roles.column("rating") for roles in event_roles)
    scale = parse_scale(settings.rating_scale) if rated else None
    for roles in event_roles:
        roles.required("user"), roles.required("item")
    if item_roles is not None:
        own = read_items(item_roles, settings, bad)
        if pictures is None and item_roles.column("picture"):
            pictures = beside
    else:
        own = items_of_events(event_roles, settings, bad)
    dated = [bool(roles.column("time") or roles.column("time_ms")) for roles in event_roles]
    if any(dated) != all(dated):
        without = events[dated.index(False)].name
        raise ConfigError(
            f"{without}: has no column of times, as the other events have; add --map COLUMN=time"
        )
    return RawTables(
        own.rows,
        own.attributes,
        EventReader(settings, scale, bad).read(event_roles, show_progress=show_progress),
        own.title,
        scale,
        pictures,
        aliases=own.aliases,
        ordered=any(dated) or settings.undated == "file",
        notes=(*left_out(event_roles), *order_note(settings, dated=any(dated))),
    )


def left_out(all_roles: Sequence[Roles]) -> list[str]:
    """One note per different set of columns that have no role."""
    notes: dict[str, str] = {}
    for roles in all_roles:
        ignored = roles.ignored
        if ignored:
            name = Path(roles.table.name).name
            notes.setdefault(", ".join(ignored), f"columns of {name} left out: {', '.join(ignored)}")
    return list(notes.values())


def order_note(settings: MappingFile, *, dated: bool) -> list[str]:
    if dated:
        return []
    if settings.undated == "file":
        return ["no column of times: events are in the order of the file"]
    return [
        "no column of times: each user's events are in random order, so that the held-out ones are a random "
        "choice; --undated file keeps the order of the file"
    ]


def find_items(folder: Path, wanted: str | None) -> Path | None:
    """The file of items; None where there is none and none was asked for."""
    if wanted is not None:
        return named_file(folder, wanted, "items")
    return usual_file(folder, "items")


def find_events(folder: Path, wanted: str | None, items: Path | None) -> list[Path]:
    """The files of events: one, those of a folder, or those that a glob names."""
    if wanted is None:
        found = usual_file(folder, "events")
        if found is None:
            missing = "events" if items is not None else "items"
            raise DataError(f"{folder / missing}.csv: no such file; name the table with --{missing} FILE")
        return [found]
    if any(sign in wanted for sign in "*?["):
        relative = Path(wanted)
        base, pattern = (
            (Path(relative.anchor), str(relative.relative_to(relative.anchor)))
            if relative.is_absolute()
            else (folder, wanted)
        )
        files = sorted(file for file in base.glob(pattern) if file.is_file() and file != items)
        if not files:
            raise DataError(f"{folder / wanted}: no file is called like that; correct --events")
        return files
    for place in (folder / wanted, Path(wanted)):
        if place.is_dir():
            files = sorted(file for file in place.iterdir() if kind_suffix(file) in SUFFIXES)
            if not files:
                raise DataError(f"{place}: has no table (*{' *'.join(SUFFIXES)}); correct --events")
            return files
    return [named_file(folder, wanted, "events")]


def named_file(folder: Path, wanted: str, usual: str) -> Path:
    for candidate in (folder / wanted, Path(wanted)):
        if candidate.is_file():
            return candidate
    raise DataError(f"{folder / wanted}: no such file; name the table with --{usual} FILE")


def usual_file(folder: Path, name: str) -> Path | None:
    """`items.csv` and the like, packed or not; a workbook only when there is nothing else."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    found = [file for file in files if file.name.split(".")[0].lower() == name]
    for suffixes in (SUFFIXES, WORKBOOKS):
        for suffix in suffixes:
            for file in found:
                if kind_suffix(file) == suffix:
                    return file
    return None


def parse_scale(text: str) -> RatingScale:
    """`LOW:HIGH:STEP`."""
    try:
        low, high, step = (float(part) for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"--rating-scale {text}: expected LOW:HIGH:STEP, such as 1:5:0.5") from None
    if not (low < high and 0 < step <= high - low):
        raise ConfigError(f"--rating-scale {text}: LOW must be below HIGH and STEP fit between them")
    return RatingScale(low, high, step)
