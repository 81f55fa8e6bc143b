"""What the columns of one's own tables are: roles by `--map`, by a mapping file, or by their usual names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import Field

from unimp.core.config import Config, read_toml
from unimp.core.errors import ConfigError, did_you_mean
from unimp.data.catalog import Attribute, AttributeKind
from unimp.data.raw import Decimal, ImportOptions, Undated
from unimp.data.tables import FrameTable, SourceTable

ATTRIBUTE_KINDS = {"title": "text"} | {kind: kind for kind in ("text", "category", "categories", "number")}
ITEM_ROLES = {"id", *ATTRIBUTE_KINDS, "picture", "variant_of", "ignore"}
EVENT_ROLES = {
    *("user", "item", "time", "time_ms", "rating", "summary", "review"),
    *("kind", "weight", "quantity", "ignore"),
}
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
Given = tuple[str, str]
"""A column and its role."""
RESERVED = ("item_id", "picture")
"""Columns of every catalogue, which no attribute can be called."""


class MappingFile(Config):
    """The TOML file of `--mapping`."""

    items: str | None = None
    """File of items, relative to PATH."""
    events: str | None = None
    """File of events, relative to PATH; a glob or a folder names several."""
    rating_scale: str = "1:5:1"
    """LOW:HIGH:STEP."""
    separator: str = Field(default="|", min_length=1)
    """Parts the values of a `categories` column."""
    delimiter: str | None = None
    """Parts the fields of a CSV."""
    encoding: str | None = None
    decimal: Decimal = "auto"
    time_format: str | None = None
    where: str | None = None
    """An SQL condition on the columns of the events."""
    kinds: str | None = None
    """The kinds of events to keep, parted by commas."""
    undated: Undated = "random"
    item_columns: dict[str, str] = Field(default_factory=dict)
    """Column -> role."""
    event_columns: dict[str, str] = Field(default_factory=dict)
    """Column -> role."""


def listed(names: Iterable[str], most: int = 30) -> str:
    """Names for a message, as far as they fit."""
    shown = [name if len(name) <= 60 else f"{name[:59]}…" for name in names]
    more = f", and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def read_settings(options: ImportOptions) -> MappingFile:
    """The mapping file, with the command line's options laid upon it."""
    table = read_toml(options.mapping) if options.mapping else {}
    for name, field in MappingFile.model_fields.items():
        given = getattr(options, name, None)
        if given is not None and (name in options.model_fields_set or given != field.default):
            table[name] = given
    return MappingFile.parse(table, str(options.mapping or "--mapping"))


@dataclass(frozen=True)
class Roles:
    """What each column of one table is."""

    table: SourceTable
    of_column: dict[str, str]

    def column(self, role: str) -> str | None:
        return next((column for column, has in self.of_column.items() if has == role), None)

    def required(self, role: str) -> str:
        column = self.column(role)
        if column is None:
            names, way = listed(self.of_column), f"add --map COLUMN={role}"
            if isinstance(self.table, FrameTable):
                way = f"say {self.table.name.removesuffix('s')}_columns={{COLUMN: {role!r}}}"
            if len(self.of_column) == 1 and not isinstance(self.table, FrameTable):
                way += ", or say what parts the fields with --delimiter"
            raise ConfigError(f"{self.table.name}: no column is the {role}; {way}; known: {names}")
        return column

    @property
    def ignored(self) -> list[str]:
        return [column for column, role in self.of_column.items() if role == "ignore"]

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The catalogue's attributes in the order of the columns."""
        found = tuple(
            Attribute(column, cast(AttributeKind, ATTRIBUTE_KINDS[role]))
            for column, role in self.of_column.items()
            if role in ATTRIBUTE_KINDS
        )
        for attribute in found:
            if attribute.name in RESERVED:
                raise ConfigError(
                    f'{self.table.name}: an attribute cannot be called "{attribute.name}"; rename the '
                    f"column, or leave it out with --map {attribute.name}=ignore"
                )
        return found


def plain_name(column: str) -> str:
    """`Item ID` and `item-id` as `item_id`."""
    return re.sub(r"[\s_-]+", "_", column.strip()).lower()


def assign_items(table: SourceTable, settings: MappingFile, given: Sequence[Given]) -> Roles:
    """Roles of the table of items; a column without one is a text."""
    mapped = settings.item_columns | {
        column: role
        for column, role in given
        if role in ITEM_ROLES and (role != "ignore" or column in table.columns)
    }
    return assign(table, mapped, ITEM_ROLES, USUAL_ITEMS, "text")


def assign_events(
    table: SourceTable, settings: MappingFile, given: Sequence[Given], *, describe_items: bool
) -> Roles:
    """Roles of a table of events; a column without one is left out.

    Without a table of items, the events' columns may `describe_items`.
    """
    known = EVENT_ROLES | set(ATTRIBUTE_KINDS) if describe_items else EVENT_ROLES
    mapped = settings.event_columns | {
        column: role
        for column, role in given
        if role in known and (role != "ignore" or column in table.columns)
    }
    return assign(table, mapped, known, USUAL_EVENTS, "ignore")


def parse_map(
    settings: Sequence[str], tables: Sequence[SourceTable], items: SourceTable | None
) -> list[Given]:
    """`--map column=role` each; a column that both tables have may have a role in each."""
    known = ITEM_ROLES | EVENT_ROLES
    given: list[Given] = []
    for setting in settings:
        column, equals, role = setting.rpartition("=")
        if not equals or not column:
            raise ConfigError(f"--map {setting}: expected column=role, such as sku=id")
        if role not in known:
            raise ConfigError(f"--map {setting}: unknown role {role!r}{did_you_mean(role, known)}")
        everywhere = [name for table in tables for name in table.columns]
        if role == "ignore" and column not in everywhere:
            where = (items or tables[0]).name
            raise ConfigError(f'{where}: has no column "{column}"{did_you_mean(column, everywhere)}')
        if items is None and role in ITEM_ROLES - EVENT_ROLES - set(ATTRIBUTE_KINDS):
            raise ConfigError(f"--map {setting}: there is no table of items; name one with --items FILE")
        given.append((column, role))
    return given


def assign(
    table: SourceTable, mapped: Mapping[str, str], roles: set[str], usual: Mapping[str, str], otherwise: str
) -> Roles:
    """A role for every column of `table`: as mapped, else by its usual name, else `otherwise`."""
    header = table.columns
    for column in header:
        if "\0" in column:  # the sign that the importer's own columns are known by
            raise ConfigError(f"{table.name}: column {column!r} has a zero byte in its name; rename it")
    for column, role in mapped.items():
        if column not in header:
            raise ConfigError(f'{table.name}: has no column "{column}"{did_you_mean(column, header)}')
        if role not in roles:
            raise ConfigError(
                f'{table.name}: column "{column}": unknown role {role!r}{did_you_mean(role, roles)}'
            )
    taken = list(mapped.values())
    twice = next((role for role in taken if role not in MANY and taken.count(role) > 1), None)
    if twice is not None:
        raise ConfigError(f"{table.name}: two columns are mapped to {twice!r}; choose one")
    if "time" in taken and "time_ms" in taken:
        raise ConfigError(f"{table.name}: map either time or time_ms, not both")
    chosen = dict(mapped)
    for column in header:
        if column not in chosen:
            role = usual.get(column, usual.get(plain_name(column), otherwise))
            free = role in MANY or role not in chosen.values()
            chosen[column] = role if free and not (role == "time" and "time_ms" in taken) else otherwise
    return Roles(table, {column: chosen[column] for column in header})
