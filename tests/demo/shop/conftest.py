"""One shop, written once for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from unimp.data.dataset import Dataset
from unimp.demo.shop.writing import write_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("shop") / "data"
    return write_shop(folder, seed=0)
