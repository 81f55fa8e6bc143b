"""How far drawn pictures are from real ones (`benchmarks/quality/drawings.py`)."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks" / "quality"


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield import_module("drawings")
    sys.modules.pop("drawings", None)


def test_distances_are_those_of_pixels(drawings: Any) -> None:
    random = np.random.default_rng(0)
    drawn = random.integers(0, 256, (20, 6, 4, 3), dtype=np.uint8)
    real = random.integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
    real[3] = drawn[17]
    apart = drawn[:, None].astype(float) / 255 - real[None].astype(float) / 255
    by_hand = np.sqrt((apart**2).mean(axis=(2, 3, 4)))
    found = drawings.distances(drawn, real)
    np.testing.assert_allclose(found, by_hand, atol=2e-3)
    assert found[17].argmin() == 3


def test_a_page_shows_what_was_measured(drawings: Any) -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    shown = [{"words": "<mug>", "pictures": [picture] * 3, "distance": 0.25}]
    medians = {"drawn to nearest real": 0.2}
    facts = {"medians": medians, "copies": 0.5, "real pictures as near to another": 0.1}
    page = drawings.page(shown, facts)
    assert page.count("<img") == 3
    assert "&lt;mug&gt; · 0.250 from the nearest" in page
    assert "50.0%" in page
