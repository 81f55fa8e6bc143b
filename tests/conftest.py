from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.data.csv_shop import shop
from tests.perturbation import Perturbation
from tests.six import SHOP, Six, prepare
from unimp.data.dataset import Dataset
from unimp.demo.shop.writing import write_shop

# a busy machine must not fail a test: no deadline per example
settings.register_profile("unimp", deadline=None)
settings.load_profile("unimp")

PERTURBATION = Perturbation.of_environment()

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_report_header() -> str:
    return f"perturbation: {PERTURBATION}"


def pytest_collection_finish() -> None:
    """What was imported and collected stays: without it, every collection of garbage walks all of it."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def perturbation() -> Iterator[Perturbation]:
    """Noise and other seeds where `UNIMP_TEST_NOISE` or `UNIMP_TEST_SEED` asks for them."""
    with pytest.MonkeyPatch.context() as patch:
        PERTURBATION.install(patch)
        yield PERTURBATION


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


@pytest.fixture(scope="session")
def six_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A generated shop of 320 items and 60 users, with pictures, ratings, reviews and queries."""
    return write_shop(tmp_path_factory.mktemp("six") / "data", SHOP, seed=0)


@pytest.fixture(scope="session")
def six_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is learnt of the shop's pictures is kept, once for all tests."""
    return Path(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def six(six_dataset: Dataset, six_cache: Path) -> Six:
    """The shop prepared for all six tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIMP_CACHE", str(six_cache))
        return prepare(six_dataset)
