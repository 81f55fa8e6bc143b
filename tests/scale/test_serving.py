"""`unimp serve --engine ray`: two replicas, replaced under load, one of them killed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from unimp.core.errors import CheckpointError, ConfigError
from unimp.scale.serving import ServedRun, check_served, deploy, served_run
from unimp.serve.settings import ServeSettings

pytestmark = pytest.mark.filterwarnings("ignore")
"""Ray's own threads, sockets and processes outlive a test's end by a moment."""


def served(run: Path, folder: Path) -> ServedRun:
    store = f"sqlite:///{folder / 'store.db'}"
    return served_run(run, None, "cpu", store, ServeSettings(keys=False, requests_per_second=0), 1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def asked_all_the_time(url: str) -> Iterator[list[tuple[int, str]]]:
    """Status and text of every answer, while the block lasts."""
    answers: list[tuple[int, str]] = []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=120) as client:
            while not ended.is_set():
                answer = client.post(url, json={"history": ["i03", "i05"], "k": 3})
                answers.append((answer.status_code, answer.text))
                time.sleep(0.01)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield answers
    finally:
        ended.set()
        asker.join()


def test_a_model_is_replaced_and_a_node_killed_without_a_failed_request(
    nodes: Any, make_run: Callable[[int], Path], tmp_path: Path
) -> None:
    cluster, workers = nodes
    port = free_port()
    deploy(served(make_run(0), tmp_path), "127.0.0.1", port, 2)
    with asked_all_the_time(f"http://127.0.0.1:{port}/v1/recommend") as answers:
        deploy(served(make_run(1), tmp_path), "127.0.0.1", port, 2)
        until(lambda: len(answers) > 20)
        replaced = len(answers)
        cluster.remove_node(workers[1])
        until(lambda: len(answers) > replaced + 50)
    assert {status for status, _ in answers} == {200}
    assert len({text for _, text in answers}) == 2
    assert len({text for _, text in answers[replaced:]}) == 1


def until(reached: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_replicas_would_meet_is_said_before(make_run: Callable[[int], Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run folder"):
        check_served(served(tmp_path / "nothing", tmp_path), {"a"})
    with pytest.raises(ConfigError, match="replicas on 2 machines must share one"):
        check_served(served(make_run(0), tmp_path), {"a", "b"})
