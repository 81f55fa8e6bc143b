"""Amazon reviews 2023 as CSV: ratings only, or the published splits, with `meta_*.jsonl` if it lies beside.

`user_id,parent_asin,rating,timestamp[,history]` in `NAME.csv`, or in `NAME.train.csv`, `NAME.valid.csv` and
`NAME.test.csv`; times are milliseconds. https://amazon-reviews-2023.github.io
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from unimp.core.errors import ConfigError, DataError
from unimp.data.picture_check import find_pictures
from unimp.data.raw import BadRows, ImportOptions, RawTables, Rows, no_items
from unimp.data.reading import stream_csv
from unimp.data.sources.amazon import ATTRIBUTES, NO_METADATA, STARS, read_metadata
from unimp.data.values import ratings, seconds

SUFFIXES = (".csv", ".csv.gz")
PARTS = (".train", ".valid", ".test")
COLUMNS = ("user_id", "parent_asin", "rating", "timestamp")


class AmazonCsv:
    """Stars in milliseconds; with the splits, all three parts are one log."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        folder = path if path.is_dir() else path.parent
        files = rating_files(path, options.events)
        events = itertools.chain.from_iterable([read_ratings(file, bad) for file in files])
        pictures = find_pictures(options.pictures, folder, ())
        meta = meta_file(folder, options.items)
        if meta is None:
            return RawTables(
                no_items(files[0].name), (), events,
                rating_scale=STARS, pictures=pictures, events_add_items=True, notes=(NO_METADATA,),
            )  # fmt: skip
        items, _ = read_metadata(meta, pictures, bad, show_progress)
        return RawTables(items, ATTRIBUTES, events, "title", STARS, pictures, events_add_items=True)


def rating_files(path: Path, wanted: str | None) -> list[Path]:
    """The one file, or the parts of the one split, in the order of time."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES))
    names = {name_of(file): file for file in files}
    bases = sorted({base_of(name) for name in names})
    if wanted is not None:
        bases = [base_of(name_of(Path(wanted)))]
    if not files or not any(base in names or base + PARTS[0] in names for base in bases):
        raise DataError(f"{path}: has no ratings ({wanted or 'NAME.csv or NAME.train.csv'}); check the path")
    if len(bases) > 1:
        raise ConfigError(f"{path}: several sets of ratings; add --events {' | '.join(bases)}")
    parts = [names[bases[0] + part] for part in PARTS if bases[0] + part in names]
    return parts or [names[bases[0]]]


def name_of(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".csv")


def base_of(name: str) -> str:
    return next((name.removesuffix(part) for part in PARTS if name.endswith(part)), name)


def meta_file(folder: Path, wanted: str | None) -> Path | None:
    if wanted is not None:
        if not (folder / wanted).is_file():
            raise DataError(f"{folder / wanted}: no such file; correct --items")
        return folder / wanted
    found = sorted(file for file in folder.glob("meta*") if ".json" in file.name)
    if len(found) > 1:
        raise ConfigError(
            f"{folder}: several metadata files; add --items {' | '.join(f.name for f in found)}"
        )
    return found[0] if found else None


def read_ratings(path: Path, bad: BadRows) -> Iterator[Rows]:
    for rows in stream_csv(path, bad, required=COLUMNS, optional=()):
        renamed = Rows(rows.file, rows.frame.rename({"parent_asin": "item_id"}))
        yield ratings(seconds(renamed, "timestamp", bad, milliseconds=True), "rating", STARS, bad)
