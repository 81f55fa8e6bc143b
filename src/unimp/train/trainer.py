"""The one training loop: dense supervision, early stopping on validation, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from unimp.core.averaging import AveragingAdamW
from unimp.core.errors import CheckpointError, ConfigError
from unimp.core.files import write_tensors
from unimp.core.progress import ProgressBar, progress_bar
from unimp.model.decoder import CompactDecoder
from unimp.model.unimp import UnimpModel
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.folder import BEST, LOG
from unimp.runs.training_split import TrainingSplit
from unimp.sentence.training_batch import TrainingBatch
from unimp.tasks.task import AnyTask
from unimp.train.batches import Planned, TrainingSentences
from unimp.train.distillation import SoftTargets
from unimp.train.epoch_log import log_epoch, trim_log
from unimp.train.objective import Loss, Objective
from unimp.train.optimizer import BETAS, learning_rate, parameter_groups
from unimp.train.prefetch import prefetch
from unimp.train.process_group import ProcessGroup
from unimp.train.sampled import identity_rows, sampled_items, samples_items
from unimp.train.state import Position
from unimp.train.step import Step, check_compute
from unimp.train.validator import ValidationScores, Validator


@dataclass(frozen=True)
class StepBatch:
    """What one process does in one step."""

    planned: Planned
    batch: TrainingBatch
    weight: float
    """1, but at an epoch's end: 0 where no batch is left, more for those that have one."""

    @property
    def task(self) -> AnyTask:
        return self.planned.task


class Training:
    """Trains one model into one run folder; made anew, it goes on where the folder's state stopped."""

    def __init__(
        self,
        folder: Path,
        artifacts: RunArtifacts,
        training_split: TrainingSplit,
        device: torch.device,
        *,
        show: bool = True,
        process_group: ProcessGroup | None = None,
        teacher: SoftTargets | None = None,
    ) -> None:
        self.folder, self.artifacts, self.device = folder, artifacts, device
        self.process_group = process_group or ProcessGroup()
        self.show = show and self.process_group.is_main
        self.config = artifacts.recipe.train
        self.overlaps = device.type == "cuda"
        """Lay batches out while a step runs; on a CPU both would want the same cores."""
        check_compute(artifacts.recipe, device)
        torch.manual_seed(self.config.seed)
        self.model = self._new_model()
        self.judged = self.model
        """The whole model, in the leading process."""
        if self.process_group.shards and self.process_group.is_main:
            self.judged = artifacts.new_model()
        self.sentences = TrainingSentences(artifacts, training_split.train, teacher)
        self.validator = Validator(
            artifacts, training_split.valid, exclude_history=training_split.exclude_history
        )
        first = self.sentences.plan(0)
        self.steps_per_epoch = math.ceil(len(first) / self.process_group.size)
        whole = self.config.epochs * self.steps_per_epoch
        self.total_steps = min(whole, self.config.max_steps or whole)
        self.task_weights = self.sentences.task_weights(first)
        objective = Objective(self.model, artifacts.vocabulary, artifacts.recipe.objective, artifacts.items)
        short = self.config.precision == "bfloat16"
        samples = samples_items(artifacts.recipe, artifacts.vocabulary.num_items, device, show=self.show)
        self.step = Step(self.model, objective, artifacts.items, short)
        layer_dtype = torch.bfloat16 if short else getattr(self.model.decoder, "autocast", None)
        replicated = self.model.items.identity if samples else None
        self.process_group.shard(self.step, self.model, layer_dtype, self.config.seed, replicated)
        self.optimizer = AveragingAdamW(
            parameter_groups(self.model, artifacts.recipe, sampled=samples),
            average=self.config.average,
            lr=self.config.lr,
            betas=BETAS,
            # Hundreds of small operations on the CPU otherwise; shards have no fused step there.
            fused=(device.type == "cpu" and not self.process_group.shards) or None,
        )
        if samples:
            self.step.sampled = sampled_items(
                artifacts, self.model, self.optimizer, self.total_steps, self.process_group
            )
        self.position = Position(total_steps=self.total_steps)
        found = self.process_group.read_state(folder, self.model, self.optimizer)
        if found is not None:
            self._check_rows()
            self._go_on(found)

    def _new_model(self) -> UnimpModel:
        """On the device, or on the CPU where it is to be shared out."""
        model = self.artifacts.new_model()
        if not self.process_group.shards:
            model = model.to(self.device)
        candidates = self.artifacts.items.candidates
        if candidates is not None:
            model.items.forget_identities(candidates.to(model.items.identity.weight.device))
        if self.config.compile:
            assert isinstance(model.decoder, CompactDecoder)
            model.decoder.compile_layers()
        return model

    def run(self) -> Position:
        """Train to the end, or to the epoch where validation stopped getting better."""
        position = self.position
        with progress_bar("training", self.total_steps, show=self.show) as bar:
            bar.advance(position.step)
            while position.epoch < self.config.epochs and not position.finished:
                self._epoch(bar)
        return position

    def _epoch(self, bar: ProgressBar) -> None:
        position, started = self.position, time.monotonic()
        saved = started
        plan = self.sentences.plan(position.epoch)
        lay_out = prefetch if self.overlaps else map
        for step_batch in lay_out(self._step_batch, self._step_batches(plan)):
            loss = self._step(step_batch)
            total, used = float(loss.total.detach()), step_batch.batch.num_positions
            position.step += 1
            position.batch = min(position.batch + self.process_group.size, len(plan))
            if step_batch.weight:
                places = step_batch.batch.items.numel()
                position.count(step_batch.task.name, total, loss.components, places, used)
            now = time.monotonic()
            rate = self.process_group.size * used / max(now - started, 1e-9)
            position.seconds += now - started
            started = now
            bar.advance(note=f"epoch {position.epoch + 1} loss {total:.3f} {rate:,.0f} tokens/s")
            due = now - saved > self.config.checkpoint_seconds
            if self.process_group.broadcast(partial(bool, due)):
                self._save()
                saved = time.monotonic()
                started = saved
            if position.step >= self.total_steps:
                break
        self._end_of_epoch(started)

    def _step_batches(self, plan: Sequence[Planned]) -> Iterator[tuple[Planned, float]]:
        """This process's batches of the epoch, as many as every other's, and what each counts.

        The mean over the processes is the mean over the batches that are left.
        """
        size, rank = self.process_group.size, self.process_group.rank
        for first in range(self.position.batch, len(plan), size):
            active = min(size, len(plan) - first)
            idle = rank >= active
            yield plan[first if idle else first + rank], 0.0 if idle else size / active

    def _step_batch(self, planned_weight: tuple[Planned, float]) -> StepBatch:
        planned, weight = planned_weight
        batch = self.sentences.batch(planned)
        return StepBatch(planned, batch.pinned() if self.device.type == "cuda" else batch, weight)

    def _step(self, step_batch: StepBatch) -> Loss:
        self.step.train()
        rate = learning_rate(self.config, self.position.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        step, sampled = self.position.step, self.step.sampled
        weight = self.task_weights[step_batch.task.name]
        try:
            loss: Loss = self.step(step_batch.batch.to(self.device), weight, step)
            self.optimizer.zero_grad(set_to_none=True)
            (loss.total * step_batch.weight).backward()
            self.process_group.sync_unused_grads(self.model)
            rows = sampled.leaves() if sampled is not None else []
            self.process_group.clip_gradients(self.model, rows, self.config.clip)
            self.optimizer.step()
            if sampled is not None:
                sampled.update(step)
        except torch.OutOfMemoryError:
            raise ConfigError(self._too_large(step_batch.batch)) from None
        return loss

    def _too_large(self, batch: TrainingBatch) -> str:
        """What a step that did not fit into memory held, and what makes it smaller."""
        recipe, (sentences, positions) = self.artifacts.recipe, batch.items.shape
        further = ", set backbone.gradient_checkpointing = true" if recipe.backbone.name else ""
        return (
            f"train.batch_positions {self.config.batch_positions}: a step of {sentences} sentences of "
            f"{positions} positions does not fit into the memory of {self.device}; lower "
            f"train.batch_positions or sentence.max_items ({recipe.sentence.max_items}){further}, "
            "and train into another --out"
        )

    def _end_of_epoch(self, started: float) -> None:
        position = self.position
        if self.step.sampled is not None:
            self.step.sampled.rows.catch_up(position.step)
        with self.optimizer.averaged():
            weights = self.process_group.gathered(self.model)
            validation_scores = self.process_group.broadcast(lambda: self._validation_scores(weights))
            if self.config.average:
                weights = {name: tensor.clone() for name, tensor in weights.items()}
        position.seconds += time.monotonic() - started
        position.epoch += 1
        position.batch = 0
        better = validation_scores.score > position.best or not self.validator.has_cases
        position.stale = 0 if better else position.stale + 1
        if better:
            position.best, position.best_epoch = validation_scores.score, position.epoch
        self.process_group.merge(position)
        if self.process_group.is_main:
            if better:
                facts = {"epoch": position.epoch, "step": position.step, "valid": validation_scores.metrics}
                write_tensors(self.folder / BEST, weights, facts | self.artifacts.identities)
            rate = learning_rate(self.config, position.step, self.total_steps)
            log_epoch(self.folder / LOG, position, validation_scores, rate, self.judged.gates())
        position.forget_counts()
        position.finished = position.stale >= self.config.patience or position.step >= self.total_steps
        self._save()

    def _validation_scores(self, weights: dict[str, Tensor]) -> ValidationScores:
        """What validation says of the whole model."""
        if self.judged is self.model:
            return self.validator.validation_scores(self.model)
        self.judged.load_learned(weights)
        self.judged.to(self.device)
        validation_scores = self.validator.validation_scores(self.judged)
        self.judged.to("cpu")
        return validation_scores

    def _save(self) -> None:
        self.process_group.merge(self.position)
        self.process_group.write_state(self.folder, self.model, self.optimizer, self.position)

    def _go_on(self, found: Position) -> None:
        """From where the folder's training stopped, perhaps with another number of processes."""
        if found.total_steps and found.total_steps != self.total_steps:
            before, found.step = found.step, round(found.step * self.total_steps / found.total_steps)
            if self.step.sampled is not None:
                # Rows make up for missed steps by the learning rates under which they missed them.
                identity_rows(self.model, self.optimizer, self.config, found.total_steps).catch_up(before)
                self.step.sampled.rows.renumber(found.step)
        found.total_steps = self.total_steps
        self.position = found
        if self.process_group.is_main:
            trim_log(self.folder / LOG, found.epoch)

    def _check_rows(self) -> None:
        """CheckpointError where the state is of the other softmax: `auto` depends on the device."""
        reached = self.optimizer.state.get(self.model.items.identity.weight, {}).get("step")
        if reached is not None and (reached.ndim == 1) != (self.step.sampled is not None):
            begun = "the sampled softmax" if reached.ndim == 1 else "the full softmax"
            raise CheckpointError(
                f"{self.folder}: its training was begun with {begun}, not this device's choice; go on "
                "where it was begun, or train into another --out"
            )
