"""`unimp data fetch-pictures`: the pictures that items have on the web, put into their data folder."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from unimp.core.config import Config
from unimp.core.errors import DataError
from unimp.core.files import atomic_write, file_hash
from unimp.core.progress import ProgressBar, progress_bar
from unimp.data.dataset import ITEMS, MANIFEST, Dataset
from unimp.data.picture_cells import address_stem
from unimp.data.picture_check import LISTED, decoding_problem
from unimp.data.pictures import PictureSource, is_heic
from unimp.data.placeholders import find_placeholders
from unimp.data.web import FetchError, FetchLimits, fetch

FOLDER = "pictures"
"""Within the data folder."""
ATTEMPTS = 3
LONGEST_WAIT = 60.0
"""Seconds; a host that wants to be left alone for longer is left alone in this run."""


class FetchOptions(Config):
    """How the web is asked."""

    parallel: int = 8
    """Hosts that are asked at the same time; one host is asked for one picture after another."""
    delay: float = 0.1
    """Seconds between two questions to one host."""
    max_mib: float = 20.0
    """Largest picture."""
    timeout: float = 30.0
    """Seconds that one picture may take."""
    allow_private: bool = False
    """For tests alone."""

    @property
    def limits(self) -> FetchLimits:
        return FetchLimits(int(self.max_mib * 2**20), self.timeout, self.allow_private)


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


class Tally:
    """What was asked for so far; hosts that want to be left alone."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.fetched, self.there = 0, 0
        self.failed: dict[str, str] = {}
        self.seen: dict[str, str | None] = {}

    def done(self, address: str, name: str | None, reason: str = "", *, now: bool = True) -> None:
        with self.lock:
            self.seen[address] = name
            if name is None:
                self.failed[address] = reason
            elif now:
                self.fetched += 1
            else:
                self.there += 1


def fetch_all(
    addresses: Iterable[str], folder: Path, options: FetchOptions, tally: Tally, *, show: bool
) -> dict[str, str]:
    """Address -> file in `folder`, for those that are there or can be had."""
    present = {path.stem: path.name for path in folder.iterdir() if not path.name.startswith(".")}
    by_host: dict[str, list[str]] = defaultdict(list)
    asked = list(addresses)
    for address in asked:
        if address in tally.seen:
            continue
        if (name := present.get(address_stem(address))) is not None:
            tally.done(address, name, now=False)
        else:
            by_host[(urlsplit_host(address))].append(address)
    total = sum(map(len, by_host.values()))
    with (
        progress_bar("fetching pictures", total, show=show) as bar,
        ThreadPoolExecutor(max(1, options.parallel)) as pool,
    ):
        stopped = threading.Event()
        hosts = [
            pool.submit(ask_host, names, folder, options, tally, bar, stopped) for names in by_host.values()
        ]
        try:
            for host in hosts:
                host.result()
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {address: name for address in asked if (name := tally.seen.get(address)) is not None}


def ask_host(
    addresses: Sequence[str],
    folder: Path,
    options: FetchOptions,
    tally: Tally,
    bar: ProgressBar,
    stopped: threading.Event,
) -> None:
    """One picture after another, with a pause between them."""
    left_alone = ""
    for number, address in enumerate(addresses):
        if stopped.is_set():
            return
        if left_alone:
            tally.done(address, None, left_alone)
        else:
            if number and options.delay:
                stopped.wait(options.delay)
            try:
                data = patiently(lambda: fetch(address, options.limits), stopped)  # noqa: B023 - called now
                tally.done(address, put(folder, address, data))
            except FetchError as error:
                tally.done(address, None, str(error))
                if error.retry_after is not None and error.retry_after > LONGEST_WAIT:
                    left_alone = (
                        f"its host asks to be left alone for {error.retry_after:.0f} s; run it again then"
                    )
        with tally.lock:
            bar.advance(note=f"{len(tally.failed)} failed")


def patiently(ask: Callable[[], bytes], stopped: threading.Event) -> bytes:
    """Ask again where the host says when, at most ATTEMPTS times."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return ask()
        except FetchError as error:
            wait = error.retry_after
            if wait is None or wait > LONGEST_WAIT or attempt == ATTEMPTS or stopped.wait(wait):
                raise
    raise AssertionError("the last attempt returns or raises")


def put(folder: Path, address: str, data: bytes) -> str:
    """Write a picture whole under the name of its address; FetchError when it is none."""
    problem = decoding_problem(data, "")
    if problem:
        raise FetchError(problem.removeprefix(": ").partition("; ")[0])
    name = f"{address_stem(address)}.{ending(data)}"
    with atomic_write(folder / name) as temporary:
        temporary.write_bytes(data)
    return name


def ending(data: bytes) -> str:
    starts = {b"\xff\xd8": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp"}
    found = next((name for start, name in starts.items() if data.startswith(start)), None)
    if data[4:8] == b"ftyp":
        return "heic" if is_heic(data) else "avif"
    return found or ("webp" if data[8:12] == b"WEBP" else "tif")


def urlsplit_host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


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


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    try:
        with atomic_write(path) as temporary:
            write(temporary)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None
