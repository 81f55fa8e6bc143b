"""`unimp data import --engine ray`: the users of a log that is too large for memory, sorted by actors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from unimp.core.errors import ConfigError
from unimp.core.progress import progress_bar
from unimp.data.event_log import Dropped, Sorter, UserRange
from unimp.scale.cluster import cluster, versions
from unimp.scale.parts import done_parts, problem_of

COUNTS = ("returned", "repeats", "duplicates")


class RangeSorter:
    """An actor of Ray Data that sorts ranges of users, from runs and into files that all nodes mount."""

    def __init__(self, ranges: Sequence[UserRange], packages: dict[str, str]) -> None:
        self.ranges, self.packages = ranges, packages

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        rows = [self.sort(part) for part in batch["part"].tolist()]
        return {name: np.array([row[name] for row in rows]) for name in ("part", "problem", *COUNTS)}

    def sort(self, part: int) -> dict[str, Any]:
        """The part's row."""
        row: dict[str, Any] = {"part": part, **dict.fromkeys(COUNTS, 0)}

        def work() -> None:
            dropped = self.ranges[part].sort()
            row.update({name: getattr(dropped, name) for name in COUNTS})

        row["problem"] = problem_of(work, self.packages, self.ranges[part].target)
        return row


@contextmanager
def cluster_sorter(address: str | None, *, show: bool) -> Iterator[Sorter]:
    """Sorts on the cluster, which is joined at once, so that a wrong address is said before any work."""
    with cluster(address) as ray:

        def sort(ranges: Sequence[UserRange]) -> list[Dropped]:
            found: dict[int, Dropped] = {}
            numbers = range(len(ranges))
            with progress_bar("sorting users", len(ranges), show=show) as bar:
                for row in done_parts(ray, RangeSorter, (ranges, versions()), numbers):
                    found[row["part"]] = Dropped(*(int(row[name]) for name in COUNTS))
                    bar.advance()
            for user_range in ranges:
                if not user_range.target.exists():
                    raise ConfigError(
                        f"{user_range.target}: a worker wrote it and it is not here; put --out on storage "
                        "that all nodes mount"
                    )
            return [found[number] for number in numbers]

        yield sort
