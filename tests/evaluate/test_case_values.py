"""What `unimp evaluate --cases` keeps of a score."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl

from unimp.evaluate.evaluation import case_values
from unimp.tasks.task import TaskScore

TASK = cast(Any, SimpleNamespace(name="rating", headline="RMSE"))


def test_cases_of_every_kind_of_score_stand_in_one_table() -> None:
    errors = TaskScore({}, 3, 1, values=np.array([1.0, np.nan, 4.0]), values_of="squared error")
    ranks = TaskScore({}, 2, 0, ranks=np.array([1.0, np.inf]))
    whole = TaskScore({"FID": 1.0}, 5, 0)
    parts = [
        case_values(TASK, name, score) for name, score in zip("abc", (whole, errors, ranks), strict=True)
    ]
    table = pl.concat(parts)
    assert table["method"].to_list() == ["b", "b", "b", "c", "c"]
    assert table["case"].to_list() == [0, 1, 2, 0, 1]
    assert table["of"].to_list() == ["squared error"] * 3 + ["RMSE"] * 2
    assert table["value"].to_list() == [1.0, None, 4.0, None, None]
    assert table["rank"].to_list() == [None, None, None, 1.0, float("inf")]
