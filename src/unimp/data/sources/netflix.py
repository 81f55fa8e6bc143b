"""Netflix Prize as LLMRec publishes it (Wei et al., WSDM 2024).

`train.json`, `val.json` and `test.json` map a user to a list of items; `item_attribute.csv` is
`id,year,title` without a header, or `augmented_item_attribute_agg.csv` the same with director, country and
language; posters are named by item id in `Netflix_Posters/`, `posters/` or `posters.zip`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.encodings import traditional_encoding
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import open_text

PARTS = ("train.json", "val.json", "test.json")
BASIC = ("item_id", "year", "title")
AUGMENTED = ("director", "country", "language")
POSTERS = ("Netflix_Posters", "Netflix_Posters.zip", "posters", "posters.zip")


class Netflix:
    """Order only: a user's training items, then the validation items, then the test items, as listed."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        present = [path / name for name in PARTS if (path / name).exists()]
        if not present or present[0].name != PARTS[0]:
            raise DataError(f"{path}: has no train.json; give LLMRec's netflix folder")
        plain, augmented = path / "item_attribute.csv", path / "augmented_item_attribute_agg.csv"
        columns = BASIC + AUGMENTED if augmented.exists() else BASIC
        items = read_items(augmented if augmented.exists() else plain, columns, bad)
        attributes = (
            Attribute("title", "text"),
            Attribute("year", "number"),
            *(Attribute(name, "category") for name in columns[len(BASIC) :]),
        )
        lists, copies = without_copies([read_lists(file, bad) for file in present])
        order = "order only: training, validation, then test items, as listed"
        return RawTables(
            items,
            attributes,
            tuple(lists),
            title="title",
            pictures=find_pictures(options.pictures, path, POSTERS),
            counts={"validation_copies_dropped": copies} if copies else {},
            notes=(order, *copy_notes(copies, len(lists[1].frame) if len(lists) > 1 else 0)),
        )


def without_copies(lists: list[Rows]) -> tuple[list[Rows], int]:
    """Without the validation events that are their user's test events too, and how many those were.

    The published val.json and test.json hold the same lists (LLMRec issue 31): with both, every test item
    would be the validation item before it, which a masked history can never hit.
    """
    if [table.file for table in lists] != list(PARTS):
        return lists, 0
    train, valid, test = lists
    kept = valid.frame.join(test.frame, on=["user_id", "item_id"], how="anti", maintain_order="left")
    return [train, Rows(valid.file, kept), test], valid.frame.height - kept.height


def copy_notes(copies: int, left: int) -> tuple[str, ...]:
    if not copies:
        return ()
    return (
        f"{copies} of {copies + left} event(s) of val.json are in test.json too, for the same user: the "
        "validation copies are left out",
    )


def read_items(path: Path, columns: Sequence[str], bad: BadRows) -> Rows:
    """Films; a title may hold unquoted commas when it is the last column, a year may be unknown."""
    found: list[tuple[Any, ...]] = []
    with open_text(path, traditional_encoding(path, "latin-1", bad)) as file:
        for number, fields in enumerate(csv.reader(file), start=1):
            if not fields or (number == 1 and not fields[0].strip().isdigit()):
                continue  # blank, or a header
            if len(columns) == len(BASIC):
                fields = [*fields[:2], ",".join(fields[2:])] if len(fields) > 2 else fields
            if len(fields) != len(columns):
                bad.add(
                    f"{path.name}:{number}: row has {len(fields)} field(s), expected {len(columns)} "
                    f'({",".join(columns)}): "{",".join(fields)[:60]}"; mend or delete the row'
                )
                continue
            found.append((number, *(field.strip() or None for field in fields)))
    schema = {ROW: pl.Int64()} | dict.fromkeys(columns, pl.String())
    frame = pl.DataFrame(found, schema=schema, orient="row")
    return Rows(path.name, frame.with_columns(pl.col("year").cast(pl.Float64, strict=False)))


def read_lists(path: Path, bad: BadRows) -> Rows:
    """One event per listed item; ROW is the position of the user in the file."""
    with open_text(path, "utf-8") as file:
        try:
            lists = json.load(file)
        except ValueError as error:
            raise DataError(f"{path}: not valid JSON ({error}); fetch it again") from None
    if not isinstance(lists, dict):
        raise DataError(f"{path}: expected an object of user -> list of items")
    events: list[tuple[int, str, str]] = []
    for number, (user, items) in enumerate(lists.items(), start=1):
        if not isinstance(items, list):
            bad.add(f'{path.name}:{number}: user "{user}" has "{items}", expected a list of items')
            continue
        events += [(number, user, str(item)) for item in items]
    schema = {ROW: pl.Int64(), "user_id": pl.String(), "item_id": pl.String()}
    return Rows(path.name, pl.DataFrame(events, schema=schema, orient="row"))
