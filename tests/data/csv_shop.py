"""A small shop in CSV tables for tests, and the importers as tests call them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from unimp.data.dataset import Dataset
from unimp.data.importing import import_dataset
from unimp.data.raw import ImportOptions
from unimp.data.sources import SOURCES

ITEM_HEADER = ("item_id", "title", "colour", "price", "picture")
EVENT_HEADER = ("user_id", "item_id", "timestamp", "rating", "review")


def jpeg(colour: str = "red", width: int = 8, height: int = 12) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "JPEG")
    return buffer.getvalue()


@dataclass(frozen=True)
class CsvShop:
    """A small shop in two CSV tables: change a table with `but`, then `write` it."""

    items: tuple[tuple[str, ...], ...]
    events: tuple[tuple[str, ...], ...]

    def but(self, table: str, row: int, column: int, value: str) -> CsvShop:
        """The shop with one field changed; `row` counts like a spreadsheet, so 2 is the first."""
        rows = [list(fields) for fields in getattr(self, table)]
        rows[row - 2][column] = value
        return replace(self, **{table: tuple(map(tuple, rows))})

    def write(self, folder: Path) -> Path:
        (folder / "img").mkdir(parents=True, exist_ok=True)
        write_csv(folder / "items.csv", ITEM_HEADER, self.items)
        write_csv(folder / "events.csv", EVENT_HEADER, self.events)
        for _, _, colour, _, picture in self.items:
            if picture:
                (folder / picture).write_bytes(jpeg(colour))
        return folder


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def shop() -> CsvShop:
    """5 items (the last without picture and price), 4 users who met items 00..03, one a day."""
    colours = ("red", "green", "blue", "black", "white")
    items = [
        (f"0{row}", f"Shirt {row}", colour, f"{row + 0.5}", f"img/{row}.jpg")
        for row, colour in enumerate(colours)
    ]
    items[4] = ("04", "Shirt 4", "white", "", "")
    events = [
        (f"u{user}", f"0{item}", str(86_400 * (1 + item)), str(1 + (user + item) % 5), "nice")
        for user in range(4)
        for item in range(4)
    ]
    return CsvShop(tuple(items), tuple(events))


MAPPING = ("colour=category", "price=number")


def import_csv(path: Path, out: Path, **options: object) -> Dataset:
    return import_dataset("csv", path, out, ImportOptions.parse({"map": MAPPING} | options, "test"))


def import_from(source: str, path: Path, out: Path, **options: object) -> Dataset:
    """Import as the command does: with the source's default filters."""
    entry = SOURCES[source]
    filters = {"k_core": entry.k_core, "deduplicate": entry.deduplicate}
    return import_dataset(source, path, out, ImportOptions.parse(filters | options, "test"))
