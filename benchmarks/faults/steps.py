"""How long writing and drawing hold the model's thread at a time: the processor time between two checks.

At a check a server answers brief requests. Processor time hardly depends on what else the machine does, which
the seconds of `fairness.py` do. Eight requests at once, as one key may have in the model: drawings of four
pictures each for new users and for users of the data, and explanations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unimp.core.exits import one_line_errors

Facts = dict[str, Any]
REQUESTS, PICTURES, ROUNDS = 8, 4, 3


class Steps:
    """Processor milliseconds between the checks of calls."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.latest = 0.0

    def check(self) -> None:
        now = time.thread_time()
        self.milliseconds.append(1000 * (now - self.latest))
        self.latest = time.thread_time()

    def of(self, call: Callable[[], Any]) -> Facts:
        """Of a few calls after one that does not count."""
        call()
        self.milliseconds.clear()
        started = time.thread_time()
        for _ in range(ROUNDS):
            self.latest = time.thread_time()
            call()
            self.check()
        p50, p95, longest = np.percentile(self.milliseconds, [50, 95, 100]).round(1).tolist()
        return {
            "steps": len(self.milliseconds) // ROUNDS,
            "p50_ms": p50,
            "p95_ms": p95,
            "longest_ms": longest,
            "call_ms": round(1000 * (time.thread_time() - started) / ROUNDS),
        }


def measure(run: Path) -> Facts:
    """By the `unimp` that is imported here."""
    from unimp.answer import Query
    from unimp.core.compute import set_threads
    from unimp.personalizer import load
    from unimp.tasks.explanation.task import ExplanationTask
    from unimp.tasks.image_generation.schema import ImageRequest
    from unimp.tasks.image_generation.task import ImageGenerationTask

    set_threads(1)
    personalizer, steps = load(run), Steps()
    answerer = personalizer.answerer.heeding(steps.check)
    drawer, explainer = answerer.decoder(ImageGenerationTask), answerer.decoder(ExplanationTask)
    known = personalizer.run.dataset.interactions.histories.select(np.arange(REQUESTS))
    wishes, requests = [Query("bag")] * REQUESTS, [ImageRequest(history=[], count=PICTURES)] * REQUESTS
    return {
        "drawing for new users": steps.of(lambda: drawer.draw_all(known.first(0), wishes, requests)),
        "drawing": steps.of(lambda: drawer.draw_all(known, wishes, requests)),
        "explaining": steps.of(lambda: explainer.explain(known, np.arange(REQUESTS))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--before", type=Path, help="Checkout of a former state, which is measured first.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    document: Facts = {"measured": "processor milliseconds of a step", "requests": REQUESTS}
    if arguments.before is not None:
        environment = {**os.environ, "PYTHONPATH": str(arguments.before / "src")}
        command = [sys.executable, __file__, str(arguments.run)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        document["before"] = json.loads(found.stdout)["now"]
    document["now"] = measure(arguments.run)
    text = json.dumps(document, indent=1)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
