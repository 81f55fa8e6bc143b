"""The pages' figures are those of the result files."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest


def test_no_figure_is_typed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks" / "quality"))
    tables = import_module("tables")
    hint = "stale; run `python benchmarks/quality/tables.py`"
    assert (tables.ROOT / "docs" / "tables.md").read_text("utf-8") == tables.page(), hint
    assert (tables.ROOT / "README.md").read_text("utf-8") == tables.readme(), hint
