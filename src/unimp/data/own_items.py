"""The items of one's own tables: attributes cleaned and typed, variants gathered into their product."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from unimp.data.catalog import Attribute
from unimp.data.picture_cells import is_picture_name, split_cell
from unimp.data.raw import ROW, UNLIMITED, BadRows, Rows
from unimp.data.roles import MappingFile, Roles
from unimp.data.texts import MISSING, missing_to_null, plain_text, split_terms
from unimp.data.values import numbers, reject, required_text

PARENT = "\0parent"


@dataclass(frozen=True)
class OwnItems:
    """A catalogue as read."""

    rows: Rows
    attributes: tuple[Attribute, ...]
    title: str | None
    aliases: pl.DataFrame | None = None
    """`alias`, `item_id`: the ids of variants, and the product each belongs to."""


def as_id(column: pl.Series) -> pl.Series:
    """Ids as text; whole numbers without a point, and words for a missing value as null."""
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        fits = (whole.cast(pl.Float64) == column).fill_null(False)
        return whole.cast(pl.String).zip_with(
            fits, column.set(column.is_nan().fill_null(False), None).cast(pl.String)
        )
    text = column.cast(pl.String)
    return text.set(text.str.strip_chars().is_in(MISSING).fill_null(False), None)


def as_text(column: pl.Series, bad: BadRows, *, html: bool = True) -> pl.Series:
    """Free text without markup; words for a missing value as null, which is noted."""
    if column.dtype == pl.List(pl.String):
        column = column.list.join(", ")
    text = column.cast(pl.String)
    kept = text.to_frame("text").select(missing_to_null(pl.col("text")))["text"]
    lost = kept.null_count() - text.null_count()
    if lost:
        word = text.filter(kept.is_null() & text.is_not_null() & (text.str.strip_chars() != ""))
        if len(word):
            bad.note_once(
                f"missing in {column.name}",
                f'{column.name}: "{word[0]}" and other words for nothing read as missing values',
            )
    return (plain_text(kept) if html else kept).alias(column.name)


def as_terms(column: pl.Series, separator: str, bad: BadRows) -> pl.Series:
    if column.dtype == pl.List(pl.String):
        column = column.list.join("\0")
        separator = "\0"
    text = as_text(column, bad)
    terms = split_terms(text, separator).alias(column.name)
    if separator != "," and terms.list.len().max() == 1:
        listed = terms.list.first()
        commas = listed.str.contains(", ?\\w").fill_null(False)
        if 2 * commas.sum() > len(listed.drop_nulls()):
            bad.note(
                f'{column.name}: a value such as "{listed.filter(commas)[0]}" is one category; '
                "--separator , parts it"
            )
    return terms


def typed_attributes(
    rows: Rows, attributes: tuple[Attribute, ...], settings: MappingFile, bad: BadRows
) -> Rows:
    """The attributes of their kinds; a row whose number is none is bad."""
    frame = rows.frame
    for attribute in attributes:
        if attribute.kind in ("text", "category"):
            frame = frame.with_columns(as_text(frame[attribute.name], bad).alias(attribute.name))
        elif attribute.kind == "categories":
            terms = as_terms(frame[attribute.name], settings.separator, bad)
            frame = frame.with_columns(terms.alias(attribute.name))
    rows = Rows(rows.file, frame)
    for attribute in attributes:
        if attribute.kind == "number":
            rows = numbers(rows, attribute.name, bad, decimal=settings.decimal)
    return rows


def read_items(roles: Roles, settings: MappingFile, bad: BadRows) -> OwnItems:
    """All rows of the table of items."""
    id_column, picture, parent = roles.required("id"), roles.column("picture"), roles.column("variant_of")
    attributes = roles.attributes
    wanted = [column for column, role in roles.of_column.items() if role != "ignore"]
    chunks = list(roles.table.chunks(wanted, bad))
    frame = pl.concat([rows.frame for rows in chunks], how="vertical_relaxed", rechunk=True)
    single = frame.unique(wanted, keep="first", maintain_order=True)
    if single.height < frame.height:
        bad.note(
            f"{chunks[0].file}: {frame.height - single.height} row(s) wholly the same as another left out"
        )
        frame = single
    renamed = (
        {id_column: "item_id"}
        | ({picture: "picture"} if picture else {})
        | ({parent: PARENT} if parent else {})
    )
    frame = frame.rename(renamed)
    frame = frame.with_columns(
        as_id(frame[name]).alias(name) for name in ("item_id", PARENT) if name in frame.columns
    )
    if picture:
        frame = frame.with_columns(as_text(frame["picture"], bad, html=False).alias("picture"))
    rows = typed_attributes(Rows(chunks[0].file, frame), attributes, settings, bad)
    if picture is None:
        note_pictures(rows, attributes, bad)
    title = roles.column("title")
    if not parent:
        return OwnItems(rows, attributes, title)
    return gather_variants(rows, attributes, title, bad)


def note_pictures(rows: Rows, attributes: tuple[Attribute, ...], bad: BadRows) -> None:
    """Say it of a text that is the name or address of a picture in every row looked at."""
    for attribute in attributes:
        if attribute.kind != "text":
            continue
        values = rows.frame[attribute.name].drop_nulls().head(100).to_list()
        if values and all(is_picture_name(name) for value in values for name in split_cell(value)):
            bad.note(
                f'{attribute.name}: "{values[0][:80]}" is a picture; --map {attribute.name}=picture uses it'
            )


def gather_variants(
    rows: Rows, attributes: tuple[Attribute, ...], title: str | None, bad: BadRows
) -> OwnItems:
    """One item per product: a row names it in PARENT, or is one itself; an attribute's first value stays."""
    repeated = pl.col("item_id").is_not_null() & ~pl.col("item_id").is_first_distinct()
    rows = reject(rows, repeated, "item_id", "duplicate item id", "delete one of the rows", bad)
    product = pl.coalesce(PARENT, "item_id")
    known = required_text(Rows(rows.file, rows.frame.with_columns(product.alias(PARENT))), PARENT, bad).frame
    aliases = known.filter(pl.col("item_id").is_not_null()).select(
        pl.col("item_id").alias("alias"), pl.col(PARENT).alias("item_id")
    )
    columns = [ROW, *(["picture"] if "picture" in known.columns else []), *(a.name for a in attributes)]
    items = known.group_by(PARENT, maintain_order=True).agg(
        pl.col(name).drop_nulls().first() for name in columns
    )
    if aliases.height > items.height:
        bad.note(f"{aliases.height} variants gathered into {items.height} items")
    return OwnItems(Rows(rows.file, items.rename({PARENT: "item_id"})), attributes, title, aliases)


def items_of_events(all_roles: list[Roles], settings: MappingFile, bad: BadRows) -> OwnItems:
    """The items that the events name, described by the events' own columns if any has such a role."""
    attributes, title = all_roles[0].attributes, all_roles[0].column("title")
    names = [attribute.name for attribute in attributes]
    scratch = BadRows(UNLIMITED)  # the rows are read once more, and counted then
    found: pl.DataFrame | None = None
    first_file = ""
    for roles in all_roles:
        item = roles.required("item")
        for rows in roles.table.chunks([item, *(n for n in names if n in roles.table.columns)], scratch):
            first_file = first_file or rows.file
            frame = rows.frame.with_columns(as_id(rows.frame[item]).alias("item_id")).drop_nulls("item_id")
            kept = [name for name in names if name in frame.columns]
            frame = frame.select("item_id", *kept, ROW)
            if found is not None:
                frame = pl.concat([found, frame], how="diagonal_relaxed")
            aggregated = [pl.col(name).drop_nulls().first() for name in (*kept, ROW)]
            found = frame.group_by("item_id", maintain_order=True).agg(aggregated)
    assert found is not None
    described = f" and {', '.join(names)}" if names else " and nothing else"
    bad.note(f"no table of items: items have an id{described}")
    return OwnItems(typed_attributes(Rows(first_file, found), attributes, settings, bad), attributes, title)
