import shutil
from pathlib import Path

import pytest

from unimp.baselines import METHODS
from unimp.data.dataset import Dataset
from unimp.evaluate.bench.jobs import plan_jobs
from unimp.evaluate.bench.runner import run_jobs
from unimp.testing.world import toy_world


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return toy_world().write(tmp_path_factory.mktemp("data") / "toy")


@pytest.fixture(scope="session")
def judged(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    run_jobs(shop, plan_jobs(METHODS, ["pop", "itemknn", "itemknn-recency"]), folder)
    run_jobs(shop, plan_jobs(METHODS, ["itemknn"], overrides={"itemknn": {"neighbours": 3}}), folder)
    return folder


@pytest.fixture
def results(judged: Path, tmp_path: Path) -> Path:
    """Pop, ItemKNN with two settings, ItemKNN with recency: a copy to do harm to."""
    return Path(shutil.copytree(judged, tmp_path / "results"))
