"""A cluster of two nodes on this machine, and a run that was trained for a moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.conftest import tiny_recipe, write_ring
from unimp.data.dataset import Dataset
from unimp.runs.recipe import Recipe
from unimp.train.training_run import train

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
ray = pytest.importorskip("ray", reason="needs the extra scale")
from ray.cluster_utils import Cluster  # noqa: E402

STORE = 100 * 2**20


def ring_recipe(**settings: Any) -> Recipe:
    return tiny_recipe(train=settings, vision={"enabled": False}, content={"picture": False})


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_ring(tmp_path_factory.mktemp("ring") / "data")


@pytest.fixture(scope="module")
def make_run(ring: Dataset) -> Callable[[int], Path]:
    """The run folder of a seed."""

    def make(seed: int) -> Path:
        folder = ring.folder.parent / f"run-{seed}"
        train(ring, ring_recipe(epochs=1, seed=seed), folder, device=torch.device("cpu"), show=False)
        return folder

    return make


def patiently(start: Callable[[], Any], tries: int = 4) -> Any:
    """What starts; a busy machine may not start a node within Ray's half minute."""
    for _ in range(tries - 1):
        try:
            return start()
        except Exception:  # Ray names no narrower one
            time.sleep(1.0)
    return start()


def start_node(cluster: Any) -> Any:
    """One more node of one core."""
    return patiently(lambda: cluster.add_node(num_cpus=1, object_store_memory=STORE))


@contextmanager
def connected_cluster() -> Iterator[Any]:
    """A cluster whose head computes nothing; this process is connected to it."""
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    found = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
    ray.init(found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def nodes() -> Iterator[Any]:
    """(cluster, its two nodes of one core)."""
    with connected_cluster() as found:
        yield found, [start_node(found) for _ in range(2)]
