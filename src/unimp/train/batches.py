"""The order of training: deterministic by (seed, epoch), one task a batch, similar lengths side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unimp.data.histories import Histories, IntArray
from unimp.inference.forward import batches_by_length
from unimp.runs.artifacts import RunArtifacts
from unimp.sentence.encoder import EncodedSentence
from unimp.sentence.targets import Horizon
from unimp.sentence.training_batch import TrainingBatch, collate_with_targets
from unimp.tasks.task import AnyTask
from unimp.tasks.windows import Window
from unimp.train.distillation import SoftTargets

POOL = 40
"""Batches that are sorted by length together."""
KEPT = 200_000
"""Encoded sentences in memory, of all epochs and of this one; with more windows, lengths are estimated."""
SAMPLE = 1000
"""Sentences whose lengths the estimate rests on."""


@dataclass(frozen=True)
class Planned:
    """One batch to come."""

    task: AnyTask
    windows: tuple[Window, ...]
    encode: Callable[[AnyTask, Window], EncodedSentence]

    @property
    def sentences(self) -> tuple[EncodedSentence, ...]:
        return tuple(self.encode(self.task, window) for window in self.windows)


class TrainingSentences:
    """The sentences of every epoch; those that never change are encoded once, the others once an epoch,
    as long as there are no more than KEPT."""

    def __init__(
        self, artifacts: RunArtifacts, histories: Histories, teacher: SoftTargets | None = None
    ) -> None:
        self.artifacts = artifacts
        self.histories, self.teacher = histories, teacher
        self.recipe = artifacts.recipe
        objective = artifacts.recipe.objective
        self.horizon = Horizon(objective.horizon, objective.horizon_decay)
        self._encoded: dict[tuple[str, Window], EncodedSentence] = {}
        self._of_epoch: dict[tuple[str, Window], EncodedSentence] = {}
        """Those that change from epoch to epoch: encoded for their lengths, then laid into batches."""
        self._epoch = -1

    def encode(self, task: AnyTask, window: Window) -> EncodedSentence:
        key = (task.name, window)
        sentence = self._encoded.get(key) or self._of_epoch.get(key)
        if sentence is None:
            sentence = self.artifacts.encoder.encode(task.sentence(self.histories, window))
            # Without a draw, and short enough not to be cut anew, it is the same in every epoch.
            lasting = not window.draw and window.stop - window.start < self.recipe.sentence.max_items
            if len(self._encoded) + len(self._of_epoch) < KEPT:
                (self._encoded if lasting else self._of_epoch)[key] = sentence
        return sentence

    def plan(self, epoch: int) -> list[Planned]:
        """The batches of one epoch: the same for the same seed and epoch."""
        rng = np.random.default_rng([self.recipe.train.seed, epoch])
        if epoch != self._epoch:
            self._epoch, self._of_epoch = epoch, {}
        batches: list[Planned] = []
        for task, windows in zip(self.artifacts.tasks, self.windows(rng), strict=True):
            if windows:
                batches.extend(
                    Planned(task, tuple(windows[row] for row in rows), self.encode)
                    for rows in pooled(self.lengths(task, windows), self.recipe.train.batch_positions, rng)
                )
        return [batches[index] for index in rng.permutation(len(batches))]

    def lengths(self, task: AnyTask, windows: Sequence[Window]) -> IntArray:
        """[N] positions of every sentence; of a large log by the line through a sample's against events."""
        if len(windows) <= KEPT:
            return np.array([len(self.encode(task, window)) for window in windows])
        events = np.array([window.stop - window.start for window in windows])
        sample = np.linspace(0, len(windows) - 1, SAMPLE).astype(np.int64)
        found = [len(self.encode(task, windows[row])) for row in sample.tolist()]
        slope, offset = np.polyfit(events[sample], found, 1) if np.ptp(events[sample]) else (0.0, max(found))
        return np.maximum(np.ceil(slope * events + offset - 1e-6), 1).astype(np.int64)

    def windows(self, rng: np.random.Generator) -> list[list[Window]]:
        """Every task's windows, their numbers mixed by temperature."""
        max_items = self.recipe.sentence.max_items
        found = [task.windows(self.histories, max_items, rng) for task in self.artifacts.tasks]
        objective = self.recipe.objective
        counts = mixed_counts([len(windows) for windows in found], objective.temperature)
        shares = [objective.sentences.get(task.name, 1.0) for task in self.artifacts.tasks]
        counts = [round(count * share) for count, share in zip(counts, shares, strict=True)]
        for task, windows, count in zip(self.artifacts.tasks, found, counts, strict=True):
            while windows and len(windows) < count:
                windows += task.windows(self.histories, max_items, rng)
        return [
            windows
            if len(windows) == count
            else [windows[row] for row in rng.permutation(len(windows))[:count]]
            for windows, count in zip(found, counts, strict=True)
        ]

    def task_weights(self, plan: Sequence[Planned]) -> dict[str, float]:
        """λ of every task, brought to a mean of 1 over the batches: λ never changes the learning rate."""
        wanted = self.recipe.objective.tasks
        weights = {task.name: wanted.get(task.name, 1.0) for task in self.artifacts.tasks}
        mean = sum(weights[planned.task.name] for planned in plan) / max(len(plan), 1)
        return {name: weight / max(mean, 1e-9) for name, weight in weights.items()}

    def batch(self, planned: Planned) -> TrainingBatch:
        if not planned.task.predicts_horizon:
            return collate_with_targets(planned.sentences)
        batch = collate_with_targets(planned.sentences, self.horizon)
        if self.teacher is None:
            return batch
        targets = self.teacher.added(batch.item_targets, planned.windows, batch.lengths, batch.items.shape[1])
        return replace(batch, item_targets=targets)


def mixed_counts(counts: Sequence[int], temperature: float) -> list[int]:
    """The same number of sentences in all, shared out by counts ** (1 / temperature)."""
    weights = np.array(counts, dtype=np.float64) ** (1.0 / temperature) * (np.array(counts) > 0)
    shares = weights / max(weights.sum(), 1e-9) * sum(counts)
    return [round(share) for share in shares]


def pooled(lengths: IntArray, budget: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Rows of each batch: shuffled, then sorted by length within pools of `POOL` batches."""
    order = rng.permutation(len(lengths))
    pool = max(1, int(POOL * budget / max(lengths.mean(), 1.0)))
    for start in range(0, len(order), pool):
        chunk = order[start : start + pool]
        for places in batches_by_length(lengths[chunk].tolist(), budget):
            yield chunk[places].tolist()
