"""The one training loop: dense supervision, early stopping on validation, exact resume."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimp.decode.reader import read
from unimp.encode.batch import Batch
from unimp.errors import ConfigError
from unimp.model.unimp import UnimpModel
from unimp.progress import Bar, progress_bar
from unimp.train.batches import Planned, TrainingSentences
from unimp.train.checkpoint import read_tensors, write_tensors
from unimp.train.examination import Examination
from unimp.train.objective import Loss, Objective
from unimp.train.preparation import Lesson
from unimp.train.recipe import Recipe
from unimp.train.workbench import Workbench

STATE, BEST, LOG = "state.safetensors", "model.safetensors", "log.jsonl"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Position:
    """Where the training stands; all that is needed beside tensors to go on as if never stopped."""

    epoch: int = 0
    batch: int = 0
    """Batches done in this epoch."""
    step: int = 0
    best: float = -1.0
    best_epoch: int = -1
    stale: int = 0
    """Epochs since the best one."""
    seconds: float = 0.0
    """Spent training so far, all sittings together."""
    loss_sum: float = 0.0
    loss_count: int = 0
    components: dict[str, list[float]] = field(default_factory=dict)
    """`task/part` -> [sum of its losses, batches that had it]."""
    finished: bool = False


class Training:
    """Trains one model into one run folder; made anew, it goes on where the folder's state stopped."""

    def __init__(
        self, folder: Path, bench: Workbench, lesson: Lesson, device: torch.device, *, show: bool = True
    ) -> None:
        self.folder, self.bench, self.device, self.show = folder, bench, device, show
        self.config = bench.recipe.train
        torch.manual_seed(self.config.seed)
        self.model = bench.new_model().to(device)
        if bench.items.candidates is not None:
            self.model.items.forget_identities(bench.items.candidates)
        self.sentences = TrainingSentences(bench, lesson.train)
        self.examination = Examination(bench, lesson.valid)
        first = self.sentences.plan(0)
        self.steps_per_epoch = len(first)
        whole = self.config.epochs * self.steps_per_epoch
        self.total_steps = min(whole, self.config.max_steps or whole)
        self.task_weights = self.sentences.task_weights(first)
        self.objective = Objective(self.model, bench.vocabulary, bench.recipe.objective, bench.items)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, bench.recipe), lr=self.config.lr, betas=(0.9, 0.98)
        )
        self.position = Position()
        if (folder / STATE).exists():
            self._restore()

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
        for planned in self.sentences.plan(position.epoch)[position.batch :]:
            loss = self._step(planned)
            position.step += 1
            position.batch += 1
            position.loss_sum += float(loss.total.detach())
            position.loss_count += 1
            for name, value in loss.components.items():
                tally = position.components.setdefault(f"{planned.task.name}/{name}", [0.0, 0.0])
                tally[0] += value
                tally[1] += 1
            now = time.monotonic()
            rate = sum(map(len, planned.sentences)) / max(now - started, 1e-9)
            position.seconds += now - started
            started = now
            bar.advance(note=f"epoch {position.epoch + 1} loss {loss.total.item():.3f} {rate:,.0f} tokens/s")
            if now - saved > self.config.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
                started = saved
            if position.step >= self.total_steps:
                break
        self._end_of_epoch(started)

    def _step(self, planned: Planned) -> Loss:
        model = self.model.train()
        batch = self.sentences.batch(planned).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate() * group["share"]
        try:
            state = model.item_state(self.bench.items)
            hidden = read(model, state, batch)
            loss = self.objective(hidden, state, batch, self.task_weights[planned.task.name])
            self.optimizer.zero_grad(set_to_none=True)
            loss.total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), self.config.clip)
            self.optimizer.step()
        except torch.OutOfMemoryError:
            raise ConfigError(self._too_large(batch)) from None
        return loss

    def _too_large(self, batch: Batch) -> str:
        """What a step that did not fit into memory held, and what makes it smaller."""
        recipe, (sentences, positions) = self.bench.recipe, batch.items.shape
        further = ", set backbone.gradient_checkpointing = true" if recipe.backbone.name else ""
        return (
            f"train.batch_positions {self.config.batch_positions}: a step of {sentences} sentences of "
            f"{positions} positions does not fit into the memory of {self.device}; lower "
            f"train.batch_positions or sentence.max_items ({recipe.sentence.max_items}){further}, "
            "and run again to go on"
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
        marks = self.examination.marks(self.model)
        position.seconds += time.monotonic() - started
        position.epoch += 1
        position.batch = 0
        better = marks.score > position.best
        position.stale = 0 if better else position.stale + 1
        if better:
            position.best, position.best_epoch = marks.score, position.epoch
            facts = {"epoch": position.epoch, "step": position.step, "valid": marks.metrics}
            write_tensors(self.folder / BEST, self.model.learned_state(), facts | self.bench.identities)
        count = max(position.loss_count, 1)
        self._log(
            {
                "epoch": position.epoch,
                "step": position.step,
                "loss": position.loss_sum / count,
                "components": {name: total / n for name, (total, n) in position.components.items()},
                "lr": self._learning_rate(),
                "valid": marks.metrics,
                "score": marks.score,
                "gates": self.model.gates(),
                "seconds": position.seconds,
            }
        )
        position.loss_sum, position.loss_count, position.components = 0.0, 0, {}
        position.finished = position.stale >= self.config.patience or position.step >= self.total_steps
        self._save()

    def _log(self, row: dict[str, Any]) -> None:
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _save(self) -> None:
        tensors: dict[str, Tensor] = {f"model.{n}": t for n, t in self.model.learned_state().items()}
        for name, parameter in self.model.named_parameters():
            state = self.optimizer.state.get(parameter, {})
            for key in MOMENTS:
                if key in state:
                    tensors[f"optimizer.{key}.{name}"] = state[key]
                    tensors[f"optimizer.step.{name}"] = state["step"]
        tensors["random"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        write_tensors(self.folder / STATE, tensors, asdict(self.position))

    def _restore(self) -> None:
        tensors, facts = read_tensors(self.folder / STATE)
        self.position = Position(**facts)
        model = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
        self.model.load_learned(model)
        for name, parameter in self.model.named_parameters():
            if f"optimizer.step.{name}" in tensors:
                moments = {key: tensors[f"optimizer.{key}.{name}"].to(self.device) for key in MOMENTS}
                self.optimizer.state[parameter] = {"step": tensors[f"optimizer.step.{name}"], **moments}
        torch.set_rng_state(tensors["random"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self._trim_log()

    def _trim_log(self) -> None:
        """Drop log lines that a killed run wrote after its last state."""
        path = self.folder / LOG
        if path.exists():
            rows = [line for line in path.read_text().splitlines() if line.endswith("}")]
            kept = [line for line in rows if json.loads(line)["step"] <= self.position.step]
            kept = [line for line in kept if json.loads(line)["epoch"] <= self.position.epoch]
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
