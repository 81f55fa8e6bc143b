"""Rows of the benchmark's tables, found in the result folders by what `table_rows.py` says of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from table_rows import Row

from unimp.core.config import dotted
from unimp.evaluate.bench.table import Table, TableRow, build_table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"


@cache
def table(name: str) -> Table:
    return build_table(RESULTS / name)


def row_of(listed: Row) -> TableRow | None:
    """The best row of the benchmark's table that is meant; None where no result file has it."""
    _, folder, method, block, *having = listed
    for entry in table(folder).rows:
        config = dotted(entry.config)
        if (
            (entry.method, entry.block) == (method, block)
            and "settings.content.encoder" not in config
            and fits(having, {str(value) for value in config.values()})
        ):
            return entry
    return None


def fits(having: Sequence[str], values: Collection[str]) -> bool:
    """Whether the values hold each of these, or lack it where "!" stands before."""
    return all((value.removeprefix("!") in values) != value.startswith("!") for value in having)
