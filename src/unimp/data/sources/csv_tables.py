"""One's own tables: a CSV of items, a CSV of events, and what each column means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl
from pydantic import Field

from unimp.core.config import Config, read_toml
from unimp.core.errors import ConfigError, DataError, did_you_mean
from unimp.data.catalog import Attribute, AttributeKind
from unimp.data.interactions import RatingScale
from unimp.data.picture_check import find_pictures
from unimp.data.pictures import PictureSource
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import csv_header, read_csv
from unimp.data.values import numbers, ratings, seconds

ITEM_ROLES = {"id", "title", "text", "category", "categories", "number", "picture", "ignore"}
EVENT_ROLES = {"user", "item", "time", "time_ms", "rating", "summary", "review", "ignore"}
MANY = {"text", "category", "categories", "number", "ignore"}
"""Roles that several columns may have."""
USUAL_ITEMS = {"item_id": "id", "title": "title", "picture": "picture"}
USUAL_EVENTS = {
    "user_id": "user",
    "item_id": "item",
    "timestamp": "time",
    "rating": "rating",
    "summary": "summary",
    "review": "review",
}
EVENT_COLUMNS = {"user": "user_id", "item": "item_id", "time": "timestamp", "time_ms": "timestamp"}


class MappingFile(Config):
    """The TOML file of `--mapping`."""

    items: str | None = None
    """File of items, relative to PATH."""
    events: str | None = None
    """File of events, relative to PATH."""
    rating_scale: str = "1:5:1"
    """LOW:HIGH:STEP."""
    separator: str = "|"
    """Parts the values of a `categories` column."""
    item_columns: dict[str, str] = Field(default_factory=dict)
    """Column -> role."""
    event_columns: dict[str, str] = Field(default_factory=dict)
    """Column -> role."""


@dataclass(frozen=True)
class Roles:
    """What each column of one file is."""

    file: Path
    of_column: dict[str, str]

    def column(self, role: str) -> str | None:
        return next((column for column, has in self.of_column.items() if has == role), None)

    def required(self, role: str) -> str:
        column = self.column(role)
        if column is None:
            names = ", ".join(self.of_column)
            raise ConfigError(
                f"{self.file}: no column is the {role}; add --map COLUMN={role}; known: {names}"
            )
        return column


class CsvTables:
    """Any shop's export; pictures are named by the table, or else looked up by item id."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        settings = read_settings(options)
        items_file = table_file(path, settings.items, "items")
        events_file = table_file(path, settings.events, "events")
        item_map, event_map = split_map(options.map, items_file, events_file)
        item_roles = assign(items_file, settings.item_columns | item_map, ITEM_ROLES, USUAL_ITEMS, "text")
        event_roles = assign(
            events_file, settings.event_columns | event_map, EVENT_ROLES, USUAL_EVENTS, "ignore"
        )
        scale = parse_scale(settings.rating_scale) if event_roles.column("rating") else None
        items, attributes = read_items(item_roles, settings.separator, bad)
        ignored = [column for column, role in event_roles.of_column.items() if role == "ignore"]
        return RawTables(
            items,
            attributes,
            (read_events(event_roles, scale, bad),),
            item_roles.column("title"),
            scale,
            picture_source(path, options, item_roles),
            notes=(f"columns of {events_file.name} left out: {', '.join(ignored)}",) if ignored else (),
        )


def read_settings(options: ImportOptions) -> MappingFile:
    """The mapping file, with the command line's options laid upon it."""
    table = read_toml(options.mapping) if options.mapping else {}
    for name in ("items", "events", "rating_scale"):
        if getattr(options, name) is not None:
            table[name] = getattr(options, name)
    return MappingFile.parse(table, str(options.mapping or "--mapping"))


def table_file(path: Path, wanted: str | None, usual: str) -> Path:
    if wanted is not None:
        candidates = [path / wanted, Path(wanted)]
    else:
        candidates = [path / f"{usual}.csv", path / f"{usual}.csv.gz"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(f"{candidates[0]}: no such file; name the table with --{usual} FILE")


def split_map(
    settings: tuple[str, ...], items_file: Path, events_file: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """`--map column=role` each to the table that has such a role; `ignore` to whichever has the column."""
    for_items: dict[str, str] = {}
    for_events: dict[str, str] = {}
    for setting in settings:
        column, equals, role = setting.rpartition("=")
        if not equals or not column:
            raise ConfigError(f"--map {setting}: expected column=role, such as sku=id")
        if role not in ITEM_ROLES | EVENT_ROLES:
            raise ConfigError(
                f"--map {setting}: unknown role {role!r}{did_you_mean(role, ITEM_ROLES | EVENT_ROLES)}"
            )
        if role == "ignore":
            in_items = column in csv_header(items_file, ",", "utf-8")
            in_events = column in csv_header(events_file, ",", "utf-8")
            if in_items or not in_events:
                for_items[column] = role
            if in_events:
                for_events[column] = role
        else:
            (for_items if role in ITEM_ROLES else for_events)[column] = role
    return for_items, for_events


def assign(
    file: Path, mapped: Mapping[str, str], roles: set[str], usual: Mapping[str, str], otherwise: str
) -> Roles:
    """A role for every column of `file`: as mapped, else by its usual name, else `otherwise`."""
    header = csv_header(file, ",", "utf-8")
    for column, role in mapped.items():
        if column not in header:
            raise ConfigError(f'{file}: has no column "{column}"{did_you_mean(column, header)}')
        if role not in roles:
            raise ConfigError(f'{file}: column "{column}": unknown role {role!r}{did_you_mean(role, roles)}')
    taken = list(mapped.values())
    twice = next((role for role in taken if role not in MANY and taken.count(role) > 1), None)
    if twice is not None:
        raise ConfigError(f"{file}: two columns are mapped to {twice!r}; choose one")
    chosen = dict(mapped)
    for column in header:
        if column not in chosen:
            role = usual.get(column, otherwise)
            chosen[column] = role if role in MANY or role not in chosen.values() else otherwise
    return Roles(file, {column: chosen[column] for column in header})


def read_items(roles: Roles, separator: str, bad: BadRows) -> tuple[Rows, tuple[Attribute, ...]]:
    """The items, and their attributes in the order of the columns."""
    id_column, picture = roles.required("id"), roles.column("picture")
    kinds = {"title": "text"} | {kind: kind for kind in MANY if kind != "ignore"}
    attributes = tuple(
        Attribute(column, cast(AttributeKind, kinds[role]))
        for column, role in roles.of_column.items()
        if role in kinds
    )
    for attribute in attributes:
        if attribute.name in ("item_id", "picture", ROW):
            raise ConfigError(f'{roles.file}: an attribute cannot be called "{attribute.name}"; rename it')
    rows = read_csv(roles.file, bad, required=[c for c, role in roles.of_column.items() if role != "ignore"])
    rows = Rows(rows.file, rows.frame.drop([c for c, role in roles.of_column.items() if role == "ignore"]))
    renamed = {id_column: "item_id"} | ({picture: "picture"} if picture else {})
    frame = rows.frame.rename(renamed).with_columns(
        pl.col(attribute.name).str.split(separator).list.eval(pl.element().str.strip_chars())
        for attribute in attributes
        if attribute.kind == "categories"
    )
    rows = Rows(rows.file, frame)
    for attribute in attributes:
        if attribute.kind == "number":
            rows = numbers(rows, attribute.name, bad)
    return rows, attributes


def read_events(roles: Roles, scale: RatingScale | None, bad: BadRows) -> Rows:
    """The events, a missing rating as null; without a time column only their order is known."""
    roles.required("user"), roles.required("item")
    used = {column: role for column, role in roles.of_column.items() if role != "ignore"}
    rows = read_csv(roles.file, bad, required=list(used), optional=())
    named = {column: EVENT_COLUMNS.get(role, role) for column, role in used.items()}
    if len(set(named.values())) < len(named):
        raise ConfigError(f"{roles.file}: map either time or time_ms, not both")
    rows = Rows(rows.file, rows.frame.rename(named))
    if "timestamp" in named.values():
        rows = seconds(rows, "timestamp", bad, milliseconds="time_ms" in used.values())
    if scale is not None:
        rows = ratings(rows, "rating", scale, bad, required=False)
    return rows


def picture_source(path: Path, options: ImportOptions, roles: Roles) -> PictureSource | None:
    """What was given, the usual places, or, when the table names pictures, the folder of the table."""
    found = find_pictures(options.pictures, path, ("pictures", "pictures.zip"))
    return PictureSource(roles.file.parent) if found is None and roles.column("picture") else found


def parse_scale(text: str) -> RatingScale:
    """`LOW:HIGH:STEP`."""
    try:
        low, high, step = (float(part) for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"--rating-scale {text}: expected LOW:HIGH:STEP, such as 1:5:0.5") from None
    if not (low < high and 0 < step <= high - low):
        raise ConfigError(f"--rating-scale {text}: LOW must be below HIGH and STEP fit between them")
    return RatingScale(low, high, step)
