"""`unimp data fetch-pictures`: the pictures that items have on the web, put into their data folder."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.errors import DataError
from unimp.core.files import file_hash, write_whole
from unimp.data.dataset import ITEMS, MANIFEST, Dataset
from unimp.data.picture_cells import address_stem
from unimp.data.picture_check import LISTED
from unimp.data.picture_hosts import FetchOptions, Tally, ending, fetch_all
from unimp.data.pictures import PictureSource
from unimp.data.placeholders import find_placeholders

FOLDER = "pictures"
"""Within the data folder."""


@dataclass(frozen=True)
class FetchReport:
    """What became of the pictures on the web."""

    fetched: int
    """Now."""
    there: int
    """Fetched by an earlier run."""
    failed: dict[str, str]
    """Address -> why not."""
    items: int
    """Items with a picture now."""
    without: int
    """Items that name pictures on the web and have none now."""
    placeholders: int
    data_hash: str

    @property
    def causes(self) -> Counter[str]:
        return Counter(self.failed.values())


def fetch_pictures(folder: Path, options: FetchOptions, *, show_progress: bool = False) -> FetchReport:
    """Fetch each item's first picture, or the next that can be had, and enter it into the data folder.

    What is there already is not asked for again, so a run that was stopped goes on. DataError when `folder`
    is no data folder or names nothing on the web.
    """
    dataset = Dataset.load(folder)
    listed = read_listed(folder)
    wanted: dict[str, list[str]] = defaultdict(list)
    for item_id, reference in listed.filter("web").select("item_id", "reference").iter_rows():
        wanted[item_id].append(reference)
    own = folder / FOLDER
    own.mkdir(exist_ok=True)
    tally = Tally()
    has_local = locally_pictured(dataset)
    missing = {item_id: list(names) for item_id, names in wanted.items() if item_id not in has_local}
    chosen: dict[str, str] = {}
    while missing:
        round_of = {item_id: names.pop(0) for item_id, names in missing.items()}
        found = fetch_all(dict.fromkeys(round_of.values()), own, options, tally, show=show_progress)
        chosen |= {item_id: found[name] for item_id, name in round_of.items() if name in found}
        missing = {item_id: names for item_id, names in missing.items() if names and item_id not in chosen}
    references = enter(dataset, chosen, copied(dataset, has_local, own))
    called = {name: address for address, name in tally.seen.items() if name is not None}
    placeholders = leave_placeholders_out(dataset, references, own, called)
    data_hash = rewrite(dataset, references)
    without = sum(references.get(item_id) is None for item_id in wanted)
    pictured = sum(name is not None for name in references.values())
    return FetchReport(tally.fetched, tally.there, tally.failed, pictured, without, placeholders, data_hash)


def read_listed(folder: Path) -> pl.DataFrame:
    path = folder / LISTED
    if not path.exists() or not (listed := pl.read_parquet(path))["web"].any():
        raise DataError(f"{folder}: no item names a picture on the web; map its column: --map COLUMN=picture")
    return listed


def locally_pictured(dataset: Dataset) -> dict[str, str]:
    """Items whose picture is not one that was fetched: item_id -> reference."""
    source, folder = dataset.catalog.pictures, (dataset.folder / FOLDER).resolve()
    pairs = zip(dataset.catalog.item_ids, dataset.catalog.picture_references, strict=True)
    known = {item_id: name for item_id, name in pairs if name is not None}
    if source is None or source.path.resolve() != folder:
        return known
    return {item_id: name for item_id, name in known.items() if name.startswith(COPIED)}


OUTDATED = ("without a picture", "no item has a picture", "have their pictures on the web", "were fetched")
"""In notes of an import that fetching pictures makes untrue."""
COPIED = "own-"
"""Begins the names of copies of pictures that were no web addresses."""


def copied(dataset: Dataset, references: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The other items' pictures, copied beside the fetched ones: a data folder has one place for all."""
    source = dataset.catalog.pictures
    if source is None or source.path.resolve() == folder.resolve():
        return dict(references)
    names: dict[str, str] = {}
    for reference, data in source.read(dict.fromkeys(references.values())):
        names[reference] = f"{COPIED}{address_stem(reference)}.{ending(data)}"
        (folder / names[reference]).write_bytes(data)
    return {item_id: names[reference] for item_id, reference in references.items()}


def enter(dataset: Dataset, chosen: Mapping[str, str], local: Mapping[str, str]) -> dict[str, str | None]:
    """Every item's picture now."""
    return {item_id: local.get(item_id) or chosen.get(item_id) for item_id in dataset.catalog.item_ids}


def leave_placeholders_out(
    dataset: Dataset, references: dict[str, str | None], folder: Path, called: Mapping[str, str]
) -> int:
    """Take placeholders out of `references`; how many items had one."""
    catalog = dataset.catalog
    titles = catalog.texts[catalog.title] if catalog.title is not None else None
    ids = list(references)
    groups = find_placeholders(PictureSource(folder), list(references.values()), titles, called)
    gone = [ids[place] for group in groups for place in group.items]
    references.update(dict.fromkeys(gone))
    return len(gone)


def rewrite(dataset: Dataset, references: Mapping[str, str | None]) -> str:
    """Enter the pictures into the table of items, then into the manifest; the new identity of the data."""
    folder, items = dataset.folder, dataset.catalog.items
    column = pl.Series("picture", [references[item_id] for item_id in items["item_id"]], pl.String)
    missing = column.null_count()
    write_whole(
        folder / ITEMS, lambda path: items.with_columns(column).write_parquet(path, compression="zstd")
    )
    counts: dict[str, int] = {"pictures": len(items) - missing, "pictures_missing": missing}
    notes = [note for note in dataset.manifest.notes if not any(words in note for words in OUTDATED)]
    notes.append(f"{len(items) - missing} item(s) have a picture; those on the web were fetched")
    changes: dict[str, Any] = {
        "pictures": FOLDER,
        "counts": dataset.manifest.counts | counts,
        "notes": tuple(notes),
        "sha256": dataset.manifest.sha256 | {ITEMS: file_hash(folder / ITEMS)},
    }
    text = dataset.manifest.model_copy(update=changes).model_dump_json(indent=2) + "\n"
    write_whole(folder / MANIFEST, lambda path: path.write_text(text))
    return Dataset.load(folder).data_hash
