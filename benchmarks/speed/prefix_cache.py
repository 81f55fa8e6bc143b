"""Processor time of requests whose users the prefix cache knows: lower quartile, microseconds per request.

python benchmarks/speed/prefix_cache.py RUN
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import unimp
from unimp.answer import Query
from unimp.core.exits import one_line_errors
from unimp.data.histories import Histories
from unimp.inference.prefix_cache import PrefixCache
from unimp.personalizer import Personalizer
from unimp.runs.answerer import Answerer
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.task import SelectionTask

ROUNDS, EVENTS_IN_A_ROW = 30, 4
LENGTHS, USERS = (10, 45), (1, 16)

Ask = Callable[[Answerer, Histories], object]
ASKS: dict[str, Ask] = {
    "recommendation": lambda answerer, histories: answerer.decoder(RecommendationTask).score(histories),
    "search": lambda answerer, histories: answerer.decoder(SearchTask).search(
        histories, [Query("blue bag")] * len(histories)
    ),
    "rating": lambda answerer, histories: answerer.decoder(RatingTask).distribution(
        histories, np.arange(len(histories))
    ),
    "selection": lambda answerer, histories: answerer.decoder(SelectionTask).select(
        histories, [np.arange(5)] * len(histories), [1] * len(histories)
    ),
}


def measure(trained: Personalizer) -> None:
    """Print a row for every task, length of history and number of users in one call."""
    answerer, num_items = trained.answerer, len(trained.run.dataset.catalog)
    print("| task | events | users | no cache | same history | one more event |\n|---|---|---|---|---|---|")
    for task in [task for task in answerer.tasks if task in ASKS]:
        for length in LENGTHS:
            for users in USERS:
                row = [
                    quartile(times) / users
                    for times in compare(answerer, ASKS[task], length, users, num_items)
                ]
                print(f"| {task} | {length} | {users} |", " | ".join(f"{value:.0f}" for value in row), "|")


def compare(
    answerer: Answerer, ask: Ask, length: int, users: int, num_items: int
) -> tuple[list[float], list[float], list[float]]:
    """Times without a cache, with histories that it knows, and with histories that have grown by an event."""
    rng = np.random.default_rng(0)
    names = [f"u{user}" for user in range(users)]
    rows = [rng.integers(num_items, size=length - user % 3).tolist() for user in range(users)]
    cold, known, grown = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        warm, histories = answerer.with_prefixes(PrefixCache(2**28)), Histories.from_lists(rows, names)
        ask(warm, histories)
        cold.append(cost(lambda: ask(answerer, histories)))  # noqa: B023 - at once
        known.append(cost(lambda: ask(warm, histories)))  # noqa: B023
        longer = [[*row] for row in rows]
        for _ in range(EVENTS_IN_A_ROW):
            for row in longer:
                row.append(int(rng.integers(num_items)))
            histories = Histories.from_lists(longer, names)
            grown.append(cost(lambda: ask(warm, histories)))  # noqa: B023
    return cold, known, grown


def cost(work: Callable[[], object]) -> float:
    """Microseconds of this process."""
    started = time.process_time()
    work()
    return 1e6 * (time.process_time() - started)


def quartile(times: list[float]) -> float:
    return float(np.quantile(times, 0.25))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    torch.set_num_threads(1)
    measure(unimp.load(parser.parse_args().run))


if __name__ == "__main__":
    with one_line_errors():
        main()
