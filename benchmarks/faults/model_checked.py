"""The state machine of `tests/serve/test_two_servers.py`, for long: two servers in one process on one store.

hypothesis chooses events, events again, forgets, upserts, removals, questions, reads of the changes and
restarts; both servers must know what a model says. 200 examples of 50 steps, on SQLite or PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

sys.path.append(str(Path(__file__).parents[2]))

from tests.serve.site import Site
from tests.serve.test_two_servers import TwoServers
from two_servers import store

from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.personalizer import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    set_threads(1)
    personalizer, steps, started = load(arguments.run), Counter[str](), time.monotonic()

    class Counted(TwoServers):
        """Counts its own rules."""

        def __init__(self) -> None:
            super().__init__(personalizer, url)
            steps["examples"] += 1

        def send(self, server: int, event_id: str) -> dict[str, int]:
            steps["events sent"] += 1
            return super().send(server, event_id)

        def site(self) -> Site:
            steps["servers started"] += 1
            return super().site()

    with store(arguments.store) as url:
        run_state_machine_as_test(
            Counted,
            settings=settings(
                max_examples=arguments.examples,
                stateful_step_count=arguments.steps,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    document = {
        "fault": "two servers, one store, model-checked",
        "store": arguments.store,
        "most_steps_of_an_example": arguments.steps,
        "counts": dict(steps),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "contradictions": 0,
    }
    text = json.dumps(document, indent=1)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with one_line_errors():
        main()
