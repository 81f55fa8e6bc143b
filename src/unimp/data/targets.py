"""Targets that cannot be hit: in the own history while that is masked, or outside the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unimp.data.histories import Cases

REPEATS_KEEP = 0.1
"""Share of targets that a user already had from which on a history is better not masked: masking loses each
of them for certain, keeping costs the others a few places."""
KEEP_OR_DEDUPLICATE = (
    "judge with --keep-history where buying again counts, "
    "or import with --deduplicate first where it does not"
)


@dataclass(frozen=True)
class TargetCounts:
    """What the targets of N cases are."""

    cases: int
    in_history: int
    """The user already met the item: a certain miss while the history is masked."""
    same_as_last: int
    """Of those, the item of the event before (with leave-one-out the test item is the validation item)."""
    outside_catalogue: int
    """No method can name them."""

    def __add__(self, other: TargetCounts) -> TargetCounts:
        """The counts of both sets of cases."""
        return TargetCounts(
            self.cases + other.cases,
            self.in_history + other.in_history,
            self.same_as_last + other.same_as_last,
            self.outside_catalogue + other.outside_catalogue,
        )

    @property
    def repeat_share(self) -> float:
        return self.in_history / self.cases if self.cases else 0.0

    def words(self, name: str, *, masked: bool, remedy: str = KEEP_OR_DEDUPLICATE) -> tuple[str, ...]:
        """What is to be known of the targets called `name`, a line each; nothing where all can be hit."""
        said = []
        if self.in_history:
            what = f"{self.in_history:,} of {self.cases:,} {name} targets are in the user's own history"
            if masked:
                what += f": certain misses while it is masked; {remedy}"
            said.append(what)
        if self.same_as_last and self.same_as_last * 2 >= self.cases:
            said.append(
                f"{self.same_as_last:,} of {self.cases:,} {name} targets are the very item of the event "
                "before: check that validation and test do not hold the same events"
            )
        if self.outside_catalogue:
            said.append(
                f"{self.outside_catalogue:,} of {self.cases:,} {name} targets are outside the catalogue: "
                "certain misses; import the items too"
            )
        return tuple(said)


def in_history(cases: Cases) -> npt.NDArray[np.bool_]:
    """[N] True where the case's own history holds its target."""
    histories = cases.histories
    owners = histories.owners()
    found = np.zeros(len(cases), dtype=np.bool_)
    found[owners[histories.item_rows == cases.target_rows[owners]]] = True
    return found


def count_targets(cases: Cases) -> TargetCounts:
    histories = cases.histories
    ends = histories.offsets[1:]
    has_past = histories.lengths > 0
    last = histories.item_rows[ends[has_past] - 1]
    return TargetCounts(
        cases=len(cases),
        in_history=int(in_history(cases).sum()),
        same_as_last=int((last == cases.target_rows[has_past]).sum()),
        outside_catalogue=int((cases.target_rows < 0).sum()),
    )
