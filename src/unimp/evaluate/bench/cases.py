"""What a result file says of the cases it was judged on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from unimp.data.dataset import Dataset
from unimp.data.histories import NO_TIME, Cases, Split
from unimp.data.targets import in_history
from unimp.evaluate.bench.result import DataIdentity
from unimp.metrics.ranking import Ranks


def identify(dataset: Dataset, split: Split) -> DataIdentity:
    return DataIdentity(
        name=name_of(dataset.folder.resolve()),
        hash=dataset.data_hash,
        items=split.num_items,
        train_users=int((split.train.lengths > 0).sum()),
        train_events=split.train.num_events,
        test_cases=len(split.test),
        cases_hash=cases_hash(split.test),
        targets_outside_catalogue=int((split.test.target_rows < 0).sum()),
        targets_in_history=int(in_history(split.test).sum()),
        targets_tied_in_time=targets_tied_in_time(dataset, split.test),
    )


def name_of(folder: Path) -> str:
    """What a person would call the data: a folder that is just called `data` goes by the one it is in."""
    return folder.parent.name if folder.name == "data" and folder.parent.name else folder.name


def cases_hash(test: Cases) -> str:
    users = "\n".join(test.histories.user_ids.tolist()).encode()
    return hashlib.sha256(users + test.target_rows.astype("<i8").tobytes()).hexdigest()[:16]


def targets_tied_in_time(dataset: Dataset, test: Cases) -> int:
    """Cases whose answer has the same known time as the last event of its history."""
    times = dataset.interactions.histories.times
    known = np.flatnonzero((test.target_events >= 0) & (test.histories.lengths > 0))
    before = test.histories.times[test.histories.offsets[1:][known] - 1]
    # The interaction table is in the order of `histories`, so a row of one is an event of the other.
    return int(((times[test.target_events[known]] == before) & (before != NO_TIME)).sum())


def rank_table(dataset: Dataset, split: Split, ranks: Ranks, with_ids: bool = True) -> pl.DataFrame:
    """RANK_COLUMNS and IN_HISTORY of every test case."""
    targets = split.test.target_rows
    item_ids, events = dataset.catalog.item_ids, np.bincount(split.train.item_rows, minlength=split.num_items)
    table = pl.DataFrame(
        {
            "user_id": split.test.histories.user_ids.tolist(),
            "item_id": [item_ids[row] if row >= 0 else None for row in targets.tolist()],
            "rank": pl.Series(ranks.values).fill_nan(None),
            "history_length": split.test.histories.lengths,
            "item_events": np.where(targets >= 0, events[np.maximum(targets, 0)], 0),
            "in_history": in_history(split.test),
        },
        schema_overrides={"user_id": pl.String(), "item_id": pl.String()},
    )
    return table if with_ids else table.with_columns(user_id=pl.lit(None), item_id=pl.lit(None))
