"""What `unimp data check` says about a data folder: a typed report, made from the files alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from unimp.data.dataset import Dataset
from unimp.data.histories import NO_TIME, Histories
from unimp.data.picture_check import undecodable_pictures
from unimp.data.splits import held_out_tests
from unimp.data.targets import TargetCounts, count_targets

QUANTILES = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


@dataclass(frozen=True)
class Report:
    """The state of a data folder; every figure is a count unless it says otherwise."""

    folder: str
    source: str
    data_hash: str
    users: int
    items: int
    events: int
    queries: int
    history_length: dict[str, float]
    """Quantiles and mean of events per user."""
    users_under_3_events: int
    items_without_events: int
    duplicate_events: int
    """Events whose user met the same item in an earlier event."""
    test_targets: TargetCounts
    """Of leave-one-out: each user's last event, from three events on."""
    events_without_time: int
    tied_events: int
    """Events at the same second as their user's previous event: their order is that of the source file."""
    users_with_ties: int
    first_time: int | None
    """UTC seconds; None when no event has a time."""
    last_time: int | None
    ratings: dict[str, int]
    """Events per rating; empty without ratings."""
    events_without_rating: int
    events_with_review: int
    missing_pictures: int
    missing_attributes: dict[str, int]
    """Items without a value, per attribute."""
    checked_pictures: int
    undecodable_pictures: tuple[str, ...]
    """What is wrong with each picture that cannot be read or decoded."""
    notes: tuple[str, ...]
    """What the importer said."""

    @property
    def passed(self) -> bool:
        return not self.undecodable_pictures


def check_dataset(folder: Path, *, decode: bool = True, show_progress: bool = False) -> Report:
    """Verify the hashes of `folder`, count, and decode its pictures; DataError when it is damaged."""
    dataset = Dataset.load(folder, verify=True)
    catalog, events = dataset.catalog, dataset.interactions.events
    histories = dataset.interactions.histories
    references = [reference for reference in catalog.picture_references if reference is not None]
    chosen = references if decode and catalog.pictures is not None else []
    problems: list[str] = []
    if catalog.pictures is not None and chosen:
        problems = undecodable_pictures(catalog.pictures, chosen, show_progress=show_progress)
    tied = ties(histories)
    timed = events["timestamp"].drop_nulls()
    return Report(
        folder=str(folder),
        source=dataset.manifest.source,
        data_hash=dataset.data_hash,
        users=len(histories),
        items=len(catalog),
        events=len(events),
        queries=0 if dataset.queries is None else dataset.queries.height,
        history_length=length_quantiles(histories),
        users_under_3_events=int((histories.lengths < 3).sum()),
        items_without_events=len(catalog) - events["item_row"].n_unique(),
        duplicate_events=histories.num_events - distinct_pairs(histories, len(catalog)),
        test_targets=count_targets(held_out_tests(histories)),
        events_without_time=events["timestamp"].null_count(),
        tied_events=int(tied.sum()),
        users_with_ties=len(np.unique(histories.owners()[tied])),
        first_time=int(timed[timed.arg_min() or 0]) if len(timed) else None,
        last_time=int(timed[timed.arg_max() or 0]) if len(timed) else None,
        ratings=rating_counts(events),
        events_without_rating=events["rating"].null_count(),
        events_with_review=events.height - events["review"].null_count(),
        missing_pictures=len(catalog) - len(references),
        missing_attributes={name: values.count(None) for name, values in catalog.texts.items()},
        checked_pictures=len(chosen),
        undecodable_pictures=tuple(problems),
        notes=dataset.manifest.notes,
    )


def ties(histories: Histories) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[E] True where an event has the time of the same user's previous event."""
    tied = np.zeros(histories.num_events, dtype=np.bool_)
    same_user = np.diff(histories.owners()) == 0
    tied[1:] = same_user & (np.diff(histories.times) == 0) & (histories.times[1:] != NO_TIME)
    return tied


def distinct_pairs(histories: Histories, items: int) -> int:
    """How many different (user, item) there are; 16 bytes an event."""
    pairs = histories.owners().astype(np.int64) * items + histories.item_rows
    pairs.sort()
    return int(np.count_nonzero(np.diff(pairs))) + 1


def length_quantiles(histories: Histories) -> dict[str, float]:
    lengths = histories.lengths
    values = {name: float(np.quantile(lengths, share)) for name, share in QUANTILES.items()}
    return values | {"mean": round(float(lengths.mean()), 2)}


def target_lines(targets: TargetCounts) -> Iterator[str]:
    """How many test targets can be hit, and what to do about the others."""
    said = targets.words("test", masked=True)
    if not said:
        yield f"test targets (leave-one-out): {targets.cases:,}, none in the user's own history"
    yield from said


def rating_counts(events: pl.DataFrame) -> dict[str, int]:
    counted = events["rating"].drop_nulls().value_counts().sort("rating")
    return {f"{rating:g}": count for rating, count in counted.iter_rows()}


def report_lines(report: Report) -> Iterator[str]:
    """The report for people to read."""
    yield f"{report.folder} ({report.source}, {report.data_hash}): hashes match"
    yield f"users {report.users:,}, items {report.items:,}, events {report.events:,}"
    yield f"queries: {report.queries:,}"
    yield "history length: " + ", ".join(f"{name} {value:g}" for name, value in report.history_length.items())
    yield f"users with fewer than 3 events: {report.users_under_3_events:,}"
    yield f"items without an event: {report.items_without_events:,}"
    yield f"repeated (user, item): {report.duplicate_events:,}"
    yield from target_lines(report.test_targets)
    if report.first_time is None:
        yield "times: none, order only"
    else:
        yield (
            f"ties in time: {report.tied_events:,} events of {report.users_with_ties:,} users "
            f"(they keep the file's order); without a time: {report.events_without_time:,}"
        )
    shares = ", ".join(f"{rating}: {count:,}" for rating, count in report.ratings.items())
    yield f"ratings: {shares or 'none'}; events without one: {report.events_without_rating:,}"
    yield f"events with a review: {report.events_with_review:,}"
    yield f"items without a picture: {report.missing_pictures:,}"
    absent = ", ".join(f"{name} {count:,}" for name, count in report.missing_attributes.items())
    yield f"items without a value: {absent or 'the catalogue has no attributes'}"
    yield f"pictures decoded: {report.checked_pictures:,}, undecodable: {len(report.undecodable_pictures):,}"
    for problem in report.undecodable_pictures[:10]:
        yield f"  {problem}"
    for note in report.notes:
        yield f"note: {note}"
