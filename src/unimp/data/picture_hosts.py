"""Asks the hosts of pictures: one picture of a host after another, several hosts at a time."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from unimp.core.config import Config
from unimp.core.files import atomic_write
from unimp.core.progress import ProgressBar, progress_bar
from unimp.data.picture_cells import address_stem
from unimp.data.picture_check import decoding_problem
from unimp.data.pictures import is_heic
from unimp.data.web import FetchError, FetchLimits, fetch

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
            by_host[host_of(address)].append(address)
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


def host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
