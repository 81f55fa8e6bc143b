"""The order of training: deterministic by (seed, epoch), sentences of similar length side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unimp.data.histories import Histories
from unimp.encode.batch import Batch, Horizon, collate
from unimp.encode.encoder import EncodedSentence
from unimp.tasks.task import Task, Window, events_of
from unimp.train.workbench import Workbench

POOL = 40
"""Batches that are sorted by length together."""


class TrainingSentences:
    """The sentences of every epoch, encoded when first needed and kept."""

    def __init__(self, bench: Workbench, histories: Histories) -> None:
        self.bench = bench
        self.histories = histories
        self.recipe = bench.recipe
        objective = bench.recipe.objective
        self.horizon = Horizon(objective.horizon, objective.horizon_decay)
        self._encoded: dict[tuple[str, Window], EncodedSentence] = {}

    def encode(self, task: Task, window: Window) -> EncodedSentence:
        key = (task.name, window)
        sentence = self._encoded.get(key)
        if sentence is None:
            events = events_of(self.histories, window.user, window.start, window.stop)
            sentence = self.bench.encoder.encode(task.sentence(self.bench.template, events))
            if window.stop - window.start < self.recipe.sentence.max_items:
                self._encoded[key] = sentence
        return sentence

    def plan(self, epoch: int) -> list[list[tuple[Task, Window]]]:
        """The batches of one epoch as (task, window) pairs: the same for the same seed and epoch."""
        rng = np.random.default_rng([self.recipe.train.seed, epoch])
        max_items = self.recipe.sentence.max_items
        pairs = [
            (task, window)
            for task in self.bench.tasks
            for window in task.windows(self.histories, max_items, rng)
        ]
        lengths = np.array([len(self.encode(*pair)) for pair in pairs])
        budget = self.recipe.train.batch_positions
        order = rng.permutation(len(pairs))
        pool = max(1, int(POOL * budget / max(lengths.mean(), 1.0)))
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            chunk = order[start : start + pool]
            batches.extend(cut(chunk[np.argsort(lengths[chunk], kind="stable")], lengths, budget))
        return [[pairs[row] for row in batches[index]] for index in rng.permutation(len(batches))]

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The epoch's batches, from number `skip` on."""
        for pairs in self.plan(epoch)[skip:]:
            yield collate([self.encode(*pair) for pair in pairs], self.horizon)


def cut(rows: np.ndarray, lengths: np.ndarray, budget: int) -> Iterator[list[int]]:
    """Rows in rising length, so many at a time that the padded batch stays within `budget`."""
    batch: list[int] = []
    for row in rows.tolist():
        if batch and lengths[row] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
