"""The pages' figures are those of the result files."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest


def test_no_figure_is_typed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks" / "quality"))
    tables = import_module("tables")
    hint = "stale; run `python benchmarks/quality/tables.py`"
    for path, text in tables.pages().items():
        assert path.read_text("utf-8") == text, hint
