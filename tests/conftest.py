from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.data.csv_shop import shop

# a busy machine must not fail a test: no deadline per example
settings.register_profile("unimp", deadline=None)
settings.load_profile("unimp")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data: skipped with a reason where it is absent, except in CI, where it must be there."""
    if not SHARED_DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{SHARED_DATA} is absent, and CI must run the tests that need it")
        pytest.skip(f"needs the real data in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def shop_folder(tmp_path: Path) -> Path:
    """A small shop in two CSV tables with pictures."""
    return shop().write(tmp_path / "shop")
