"""The one training loop: dense supervision, early stopping on validation, exact resume."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimp.encode.batch import Batch
from unimp.errors import ConfigError
from unimp.model.decoder import CompactDecoder
from unimp.model.unimp import UnimpModel
from unimp.progress import Bar, progress_bar
from unimp.tasks.task import Task
from unimp.train.ahead import ahead
from unimp.train.batches import Planned, TrainingSentences
from unimp.train.checkpoint import write_tensors
from unimp.train.examination import Examination, Marks
from unimp.train.objective import Loss, Objective
from unimp.train.preparation import Lesson
from unimp.train.recipe import Recipe
from unimp.train.state import Position
from unimp.train.step import Step, check_compute
from unimp.train.team import Team
from unimp.train.workbench import Workbench

BEST, LOG = "model.safetensors", "log.jsonl"


@dataclass(frozen=True)
class Turn:
    """What one process does in one step."""

    planned: Planned
    batch: Batch
    weight: float
    """1, but at an epoch's end: 0 where no batch is left, more for those that have one."""

    @property
    def task(self) -> Task:
        return self.planned.task


class Training:
    """Trains one model into one run folder; made anew, it goes on where the folder's state stopped."""

    def __init__(
        self,
        folder: Path,
        bench: Workbench,
        lesson: Lesson,
        device: torch.device,
        *,
        show: bool = True,
        team: Team | None = None,
    ) -> None:
        self.folder, self.bench, self.device = folder, bench, device
        self.team = team or Team()
        self.show = show and self.team.leads
        self.config = bench.recipe.train
        self.overlaps = device.type == "cuda"
        """Lay batches out while a step runs; on a CPU both would want the same cores."""
        check_compute(bench.recipe, device)
        torch.manual_seed(self.config.seed)
        self.model = self._new_model()
        self.judged = self.model
        """The whole model, in the leading process."""
        if self.team.shards and self.team.leads:
            self.judged = bench.new_model()
        self.sentences = TrainingSentences(bench, lesson.train)
        self.examination = Examination(bench, lesson.valid)
        first = self.sentences.plan(0)
        self.steps_per_epoch = math.ceil(len(first) / self.team.size)
        whole = self.config.epochs * self.steps_per_epoch
        self.total_steps = min(whole, self.config.max_steps or whole)
        self.task_weights = self.sentences.task_weights(first)
        objective = Objective(self.model, bench.vocabulary, bench.recipe.objective, bench.items)
        short = self.config.precision == "bfloat16"
        self.step = Step(self.model, objective, bench.items, short)
        layer_dtype = torch.bfloat16 if short else getattr(self.model.decoder, "autocast", None)
        self.team.place(self.step, self.model, layer_dtype, self.config.seed)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, bench.recipe), lr=self.config.lr, betas=(0.9, 0.98)
        )
        self.position = Position(total_steps=self.total_steps)
        found = self.team.read_state(folder, self.model, self.optimizer)
        if found is not None:
            self._go_on(found)

    def _new_model(self) -> UnimpModel:
        """On the device, or on the CPU where it is to be shared out."""
        model = self.bench.new_model()
        if not self.team.shards:
            model = model.to(self.device)
        candidates = self.bench.items.candidates
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

    def _epoch(self, bar: Bar) -> None:
        position, started = self.position, time.monotonic()
        saved = started
        plan = self.sentences.plan(position.epoch)
        lay_out = ahead if self.overlaps else map
        for turn in lay_out(self._turn, self._turns(plan)):
            loss = self._step(turn)
            total, used = float(loss.total.detach()), turn.batch.num_positions
            position.step += 1
            position.batch = min(position.batch + self.team.size, len(plan))
            if turn.weight:
                places = turn.batch.items.numel()
                position.count(turn.task.name, total, loss.components, places, used)
            now = time.monotonic()
            rate = self.team.size * used / max(now - started, 1e-9)
            position.seconds += now - started
            started = now
            bar.advance(note=f"epoch {position.epoch + 1} loss {total:.3f} {rate:,.0f} tokens/s")
            due = now - saved > self.config.checkpoint_seconds
            if self.team.told(partial(bool, due)):
                self._save()
                saved = time.monotonic()
                started = saved
            if position.step >= self.total_steps:
                break
        self._end_of_epoch(started)

    def _turns(self, plan: Sequence[Planned]) -> Iterator[tuple[Planned, float]]:
        """This process's batches of the epoch, as many as every other's, and what each counts.

        The mean over the processes is the mean over the batches that are left.
        """
        size, rank = self.team.size, self.team.rank
        for first in range(self.position.batch, len(plan), size):
            active = min(size, len(plan) - first)
            idle = rank >= active
            yield plan[first if idle else first + rank], 0.0 if idle else size / active

    def _turn(self, planned_weight: tuple[Planned, float]) -> Turn:
        planned, weight = planned_weight
        batch = self.sentences.batch(planned)
        return Turn(planned, batch.pinned() if self.device.type == "cuda" else batch, weight)

    def _step(self, turn: Turn) -> Loss:
        self.step.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate() * group["share"]
        try:
            loss: Loss = self.step(turn.batch.to(self.device), self.task_weights[turn.task.name])
            self.optimizer.zero_grad(set_to_none=True)
            (loss.total * turn.weight).backward()
            self.team.settle(self.model)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
            self.optimizer.step()
        except torch.OutOfMemoryError:
            raise ConfigError(self._too_large(turn.batch)) from None
        return loss

    def _too_large(self, batch: Batch) -> str:
        """What a step that did not fit into memory held, and what makes it smaller."""
        recipe, (sentences, positions) = self.bench.recipe, batch.items.shape
        further = ", set backbone.gradient_checkpointing = true" if recipe.backbone.name else ""
        return (
            f"train.batch_positions {self.config.batch_positions}: a step of {sentences} sentences of "
            f"{positions} positions does not fit into the memory of {self.device}; lower "
            f"train.batch_positions or sentence.max_items ({recipe.sentence.max_items}){further}, "
            "and train into another --out"
        )

    def _learning_rate(self) -> float:
        """Linear warm-up, then cosine decay to `final_lr`."""
        config, total = self.config, self.total_steps
        warm = max(1, round(config.warmup * total))
        if self.position.step < warm:
            return config.lr * (self.position.step + 1) / warm
        done = min(1.0, (self.position.step - warm) / max(1, total - warm))
        return config.lr * (config.final_lr + (1 - config.final_lr) * (1 + math.cos(math.pi * done)) / 2)

    def _end_of_epoch(self, started: float) -> None:
        position = self.position
        weights = self.team.gathered(self.model)
        marks = self.team.told(lambda: self._marks(weights))
        position.seconds += time.monotonic() - started
        position.epoch += 1
        position.batch = 0
        better = marks.score > position.best
        position.stale = 0 if better else position.stale + 1
        if better:
            position.best, position.best_epoch = marks.score, position.epoch
        self.team.merge(position)
        if self.team.leads:
            if better:
                facts = {"epoch": position.epoch, "step": position.step, "valid": marks.metrics}
                write_tensors(self.folder / BEST, weights, facts | self.bench.identities)
            self._log(marks)
        position.forget_counts()
        position.finished = position.stale >= self.config.patience or position.step >= self.total_steps
        self._save()

    def _marks(self, weights: dict[str, Tensor]) -> Marks:
        """What validation says of the whole model."""
        if self.judged is self.model:
            return self.examination.marks(self.model)
        self.judged.load_learned(weights)
        self.judged.to(self.device)
        marks = self.examination.marks(self.judged)
        self.judged.to("cpu")
        return marks

    def _log(self, marks: Marks) -> None:
        position = self.position
        row = {
            "epoch": position.epoch,
            "step": position.step,
            "loss": position.loss_sum / max(position.loss_count, 1),
            "components": {name: total / n for name, (total, n) in position.components.items()},
            "padding": position.padding / max(position.places, 1),
            "lr": self._learning_rate(),
            "valid": marks.metrics,
            "score": marks.score,
            "gates": self.judged.gates(),
            "seconds": position.seconds,
        }
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _save(self) -> None:
        self.team.merge(self.position)
        self.team.write_state(self.folder, self.model, self.optimizer, self.position)

    def _go_on(self, found: Position) -> None:
        """From where the folder's training stopped, perhaps with another number of processes."""
        if found.total_steps and found.total_steps != self.total_steps:
            found.step = round(found.step * self.total_steps / found.total_steps)
        found.total_steps = self.total_steps
        self.position = found
        if self.team.leads:
            self._trim_log()

    def _trim_log(self) -> None:
        """Drop log lines that a killed run wrote after its last state."""
        path = self.folder / LOG
        if path.exists():
            rows = [line for line in path.read_text().splitlines() if line.endswith("}")]
            kept = [line for line in rows if json.loads(line)["epoch"] <= self.position.epoch]
            path.write_text("".join(line + "\n" for line in kept))


def parameter_groups(model: UnimpModel, recipe: Recipe) -> list[dict[str, Any]]:
    """Matrices decay; gates, norms and biases do not. Pretrained weights learn more slowly."""
    own = ("decoder.", "tokens.words.", "tokens.head.") if recipe.backbone.name else ()
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = recipe.train.weight_decay if parameter.ndim >= 2 else 0.0
            share = recipe.backbone.lr_share if name.startswith(own) else 1.0
            if name.startswith("vision.encoder."):
                share = recipe.vision.lr_share
            groups.setdefault((share, decay), []).append(parameter)
    return [
        {"params": groups[share, decay], "weight_decay": decay, "share": share}
        for share, decay in sorted(groups, reverse=True)
    ]
