"""docs/scale.md: its plan is the one that the result files give, and its plots are there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def page() -> str:
    return (ROOT / "docs" / "scale.md").read_text()


def test_the_plan_follows_from_the_result_files(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "scale"))
    plan = import_module("plan")
    assert "\n".join(plan.lines(ROOT / "results")) in page, "stale; run `python benchmarks/scale/plan.py`"


def test_every_plot_is_there_and_shown(page: str) -> None:
    shown = set(re.findall(r"\.\./(results/scale/plots/[\w-]+\.svg)", page))
    assert shown == {str(path.relative_to(ROOT)) for path in (ROOT / "results/scale/plots").glob("*.svg")}
    assert len(shown) > 4
