"""`EventLog`: the events of an import in compact columns, in memory while they are few, else in sorted runs.

Ids become numbers as soon as a table has been read. Once the events take more than SPILL_BYTES they are
written to disk, sorted by user, in runs; the way back reads one range of users at a time from all runs. So
memory holds the ids and a few counts of every user and item, and beyond that SPILL_BYTES, whatever the number
of events.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import polars as pl

from unimp.core.files import atomic_write
from unimp.data.filtering import Mask, core_members, deduplicate, drop_returned, exact_repeats
from unimp.data.histories import Histories, IntArray
from unimp.data.interactions import COLUMNS
from unimp.data.raw import Deduplication
from unimp.data.splits import held_out_tests
from unimp.data.targets import TargetCounts, count_targets

SPILL_BYTES = 64 << 20
ROW_GROUP = 1 << 16
TABLE_ROWS = 1 << 20
"""Events that are written at a time."""
USER, ITEM, QUANTITY = "user", "item_row", "quantity"
COMPACT: dict[str, pl.DataType] = {
    USER: pl.UInt32(),
    ITEM: pl.UInt32(),
    "timestamp": pl.Datetime("ns"),
    "rating": pl.Float32(),
    "summary": pl.String(),
    "review": pl.String(),
    QUANTITY: pl.Float32(),
}
"""The columns of a run, as far as the source has them."""


@dataclass(frozen=True)
class Rules:
    """What decides the order of a user's events and which of them stay."""

    deduplicate: Deduplication
    ordered: bool
    """Whether events without times keep their order; if not, they are shuffled."""


@dataclass(frozen=True)
class Dropped:
    """Events of some users that did not stay, and those that did though they are exactly the same."""

    returned: int
    repeats: int
    duplicates: int


@dataclass(frozen=True)
class UserRange:
    """Users whose events a machine sorts: it needs the runs and the place for the result, no more."""

    runs: tuple[Path, ...]
    """In the order of the files."""
    start: int
    stop: int
    rules: Rules
    target: Path

    def sort(self) -> Dropped:
        """Write the users' events in order; a file at `target` is whole."""
        mine = pl.col(USER).is_between(self.start, self.stop - 1)
        frames = [pl.scan_parquet(run).filter(mine).collect() for run in self.runs]
        part, dropped = sorted_part(pl.concat(frames, how="diagonal"), self.start, self.rules)
        with atomic_write(self.target) as temporary:
            part.write_parquet(temporary, compression="lz4")
        return dropped


Sorter = Callable[[Sequence[UserRange]], Iterable[Dropped]]
"""Sorts ranges of users, and says of each, in their order, what was dropped."""


def sort_here(ranges: Sequence[UserRange]) -> Iterator[Dropped]:
    """One after the other, in this process."""
    for user_range in ranges:
        yield user_range.sort()


def sorted_part(events: pl.DataFrame, start: int, rules: Rules) -> tuple[pl.DataFrame, Dropped]:
    """The events of the users from number `start` on that stay, by user and in time order."""
    timed = "timestamp" in events.columns
    if timed or rules.ordered:
        # ties, and events without a time, keep the order of the files
        keys = [USER, "timestamp"] if timed else [USER]
        events = events.sort(keys, maintain_order=True, nulls_last=True)
    else:
        luck = np.random.default_rng([0, start]).random(events.height)
        events = events.with_columns(pl.Series("luck", luck)).sort(USER, "luck").drop("luck")
    bought = drop_returned(events)
    single = deduplicate(bought, rules.deduplicate)
    same = int(exact_repeats(single).sum()) if rules.deduplicate == "none" and timed else 0
    dropped = Dropped(events.height - bought.height, bought.height - single.height, same)
    return single.drop(QUANTITY, strict=False), dropped


class EventLog:
    """Collects events, then gives them back user by user, in time order; a context that removes its runs."""

    def __init__(self, num_items: int, place: Path) -> None:
        self.num_items = num_items
        self.events = 0
        self.user_events: IntArray = np.zeros(0, dtype=np.int64)
        """[users so far] events of each."""
        self._place = place
        self._folder: Path | None = None
        # polars forgets the numbers of categories when no column of theirs is left, so one is held
        self._categories = pl.Series([], dtype=pl.Categorical(pl.Categories.random()))
        self._names: list[pl.Series] = []
        self._num_users = 0
        self._waiting: list[pl.DataFrame] = []
        self._waiting_bytes = self._bytes = 0
        self._runs: list[Path] = []

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def spilled(self) -> bool:
        """Whether the events are on disk."""
        return bool(self._runs)

    @property
    def num_users(self) -> int:
        return self._num_users

    def user_ids(self) -> pl.Series:
        """[num_users] in order of first appearance."""
        if len(self._names) > 1:
            self._names = [pl.concat(self._names)]
        return self._names[0] if self._names else pl.Series("user_id", [], dtype=pl.String)

    def add(self, table: pl.DataFrame) -> None:
        """More events, in the order of their file: `user_id`, and what COMPACT has beside `user`."""
        if table.is_empty():
            return
        user = self._number(table["user_id"])
        present = [name for name in COMPACT if name != USER and name in table.columns]
        compact = table.select(pl.col(name).cast(COMPACT[name]) for name in present).with_columns(user)
        counts = np.bincount(user.to_numpy(), minlength=self._num_users)
        counts[: len(self.user_events)] += self.user_events
        self.user_events = counts.astype(np.int64)
        self.events += compact.height
        self._waiting.append(compact)
        size = int(compact.estimated_size())
        self._bytes += size
        self._waiting_bytes += size
        if self._waiting_bytes > SPILL_BYTES:
            self._spill()

    def _number(self, ids: pl.Series) -> pl.Series:
        """[N] the user's number: users are counted in order of first appearance."""
        codes = ids.cast(self._categories.dtype).to_physical().alias(USER)
        fresh = codes >= self._num_users
        if fresh.any():
            names = pl.DataFrame([ids.filter(fresh).alias("user_id"), codes.filter(fresh)])
            names = names.unique(USER, keep="first").sort(USER)
            self._names.append(names["user_id"])
            self._num_users += names.height
        return codes

    def _spill(self) -> None:
        run = pl.concat(self._waiting, how="diagonal").sort(USER, maintain_order=True)
        path = self.run_file(f"{len(self._runs):06}")
        run.write_parquet(path, compression="lz4", row_group_size=ROW_GROUP, statistics=True)
        self._runs.append(path)
        self._waiting, self._waiting_bytes = [], 0

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Ranges of users whose events take about SPILL_BYTES together, one user at least."""
        most = max(1, self.events * SPILL_BYTES // max(1, self._bytes))
        ends = np.cumsum(self.user_events)
        start = 0
        while start < self._num_users:
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
            yield start, stop
            start = stop

    def sorted(self, rules: Rules, sort: Sorter | None = None) -> SortedEvents:
        """The events that stay, by user and in time order. `sort` sorts what is on disk; None: here."""
        result = SortedEvents(self)
        if not self._runs:
            part, dropped = sorted_part(pl.concat(self._waiting, how="diagonal"), 0, rules)
            result.append(part, dropped)
            return result
        if self._waiting:
            self._spill()
        ranges = [
            UserRange(tuple(self._runs), start, stop, rules, self.run_file(f"sorted-{number:06}"))
            for number, (start, stop) in enumerate(self.ranges())
        ]
        for user_range, dropped in zip(ranges, (sort or sort_here)(ranges), strict=True):
            result.append(user_range.target, dropped)
        return result

    def run_file(self, name: str) -> Path:
        """A file that is gone with the log."""
        if self._folder is None:
            existing = next(folder for folder in self._place.absolute().parents if folder.is_dir())
            self._folder = Path(
                tempfile.mkdtemp(prefix=f".{self._place.name}.", suffix=".runs", dir=existing)
            )
        return self._folder / f"{name}.parquet"


class SortedEvents:
    """Events of a log by user and in time order, in parts of whole users: in memory if there is one part."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.events = self.returned = self.repeats = self.duplicates = 0
        """Events; and how many were dropped as returned, dropped as repeats, kept though exactly the same."""
        self.seen = np.zeros(log.num_items, dtype=np.int64)
        """[items] events of each."""
        self._parts: list[pl.DataFrame | Path] = []
        self._keeps: tuple[Mask, Mask] | None = None

    def append(self, part: pl.DataFrame | Path, dropped: Dropped) -> None:
        """The next part, in memory or on disk."""
        items = part[ITEM] if isinstance(part, pl.DataFrame) else pl.read_parquet(part, columns=[ITEM])[ITEM]
        self.events += len(items)
        self.seen += np.bincount(items.to_numpy(), minlength=len(self.seen))
        self.returned += dropped.returned
        self.repeats += dropped.repeats
        self.duplicates += dropped.duplicates
        self._parts.append(part)

    def pairs(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Part by part the users and items of all events."""
        for part in self._parts:
            frame = part if isinstance(part, pl.DataFrame) else pl.read_parquet(part, columns=[USER, ITEM])
            yield frame[USER].to_numpy(), frame[ITEM].to_numpy()

    def keep_core(self, k: int) -> int:
        """Leave only the k-core; how many events it drops."""
        users, items = core_members(self.pairs, self.log.num_users, self.log.num_items, k)
        self._keeps = users, items
        self.seen = np.zeros(self.log.num_items, dtype=np.int64)
        for user, item in self.pairs():
            kept = item[users[user] & items[item]]
            self.seen += np.bincount(kept, minlength=len(self.seen))
        dropped = self.events - int(self.seen.sum())
        self.events -= dropped
        return dropped

    def user_lengths(self) -> IntArray:
        """[users of the log] events that each has left."""
        if self.events == self.log.events:
            return self.log.user_events
        lengths = np.zeros(self.log.num_users, dtype=np.int64)
        for user, item in self.pairs():
            if self._keeps is not None:
                user = user[self._keeps[0][user] & self._keeps[1][item]]
            lengths += np.bincount(user, minlength=len(lengths))
        return lengths

    def count_test_targets(self) -> TargetCounts:
        """What the targets of leave-one-out's test cases are, part by part."""
        counts = TargetCounts(0, 0, 0, 0)
        for user, item in self.pairs():
            if self._keeps is not None:
                kept = self._keeps[0][user] & self._keeps[1][item]
                user, item = user[kept], item[kept]
            counts += count_targets(held_out_tests(Histories.from_owners(user, item)))
        return counts

    def tables(self, new_row: IntArray) -> Iterator[pl.DataFrame]:
        """Part by part in the columns of `Interactions`; `new_row` [items] says where an item is now."""
        for part in self._parts:
            frame = part if isinstance(part, pl.DataFrame) else pl.read_parquet(part)
            if self._keeps is not None:
                users, items = self._keeps
                frame = frame.filter(pl.Series(users[frame[USER].to_numpy()] & items[frame[ITEM].to_numpy()]))
            for piece in frame.iter_slices(TABLE_ROWS):
                yield interaction_table(piece, self.log.user_ids(), new_row)


def interaction_table(events: pl.DataFrame, user_ids: pl.Series, new_row: IntArray) -> pl.DataFrame:
    """Compact events in the columns of `Interactions`; `new_row` [items] says where an item is now."""
    given = {
        "user_id": user_ids.gather(events[USER]),
        "item_row": pl.Series(new_row[events[ITEM].to_numpy()]),
    }
    if "timestamp" in events.columns:
        # whole seconds are kept; the fractions have done their work in the order
        given["timestamp"] = events["timestamp"].dt.epoch("s")
    for name in ("rating", "summary", "review"):
        if name in events.columns:
            given[name] = events[name]
    columns = [
        given[name].cast(kind).alias(name)
        if name in given
        else pl.Series(name, [None], dtype=kind).new_from_index(0, events.height)
        for name, kind in COLUMNS.items()
    ]
    return pl.DataFrame(columns)
