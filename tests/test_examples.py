"""The README's example does what the README shows."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.six import Six
from unimp.personalizer import Personalizer
from unimp.runs.open_run import TrainedRun

ROOT = Path(__file__).parents[1]


def test_hello_shop_prints_three_items_and_what_was_searched_for(
    six: Six, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = TrainedRun(Path("run"), {}, {}, six.artifacts, six.model(), {}, six.dataset)
    shop = Personalizer(run, run.answerer)
    assert repr(shop).startswith("Personalizer('run', 320 items, tasks: recommendation, ")
    assert "\n" not in repr(shop)
    monkeypatch.setattr("unimp.personalizer.load", lambda *_, **__: shop)
    user = str(six.dataset.interactions.histories.user_ids[0])
    monkeypatch.setattr(sys, "argv", ["hello_shop.py", "run", user])
    runpy.run_path(str(ROOT / "examples" / "hello_shop.py"))
    lines = capsys.readouterr().out.splitlines()
    titles = set(six.dataset.catalog.texts["title"])
    assert len(lines) == 4
    assert {line.rpartition(" ")[0] for line in lines[:3]} <= titles
    assert lines[3] in titles


def test_the_readme_shows_the_example() -> None:
    code = (ROOT / "examples" / "hello_shop.py").read_text("utf-8").partition("\n\n")[2].strip()
    assert code in (ROOT / "README.md").read_text("utf-8")
