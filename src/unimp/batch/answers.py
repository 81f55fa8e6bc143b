"""The answers of one shard, as columns beside the requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from unimp.batch.lines import HISTORY, LINE, PLACE, request_of
from unimp.personalizer import Personalizer
from unimp.tasks.forms import listed_ids
from unimp.tasks.task import AnyTask

AT_ONCE = 256
"""Lines answered by one call: bounds the memory at AT_ONCE x items."""
SEED = "seed"


@dataclass(frozen=True)
class BatchAnswers:
    """A task for many users."""

    personalizer: Personalizer
    task: AnyTask
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields that all requests share, such as `k`. A `seed` is that of the first line; every further line has
    the next one."""

    def answer(self, table: pl.DataFrame) -> pl.DataFrame:
        """Line by line, in the order of the table."""
        pieces = [self.piece(table.slice(place, AT_ONCE)) for place in range(0, table.height, AT_ONCE)]
        return pl.concat(pieces)

    def piece(self, table: pl.DataFrame) -> pl.DataFrame:
        """The answers of at most AT_ONCE lines, by one call of the model."""
        requests = [
            request_of(row, self.task.Request, self.options_of(row[PLACE]))
            for row in table.iter_rows(named=True)
        ]
        answers = self.personalizer.answer_all(requests)
        answered = table.drop(LINE, PLACE).with_columns(self.task.columns(answers))
        if HISTORY not in table.columns:
            return answered
        given = [None if text is None else listed_ids(text) for text in table[HISTORY].to_list()]
        return answered.with_columns(pl.Series(HISTORY, given, dtype=pl.List(pl.String)))

    def options_of(self, place: int) -> dict[str, Any]:
        """The shared fields for the line at this place of the batch."""
        options = dict(self.options)
        if SEED in options:
            options[SEED] = (options[SEED] + place) % 2**31
        return options
