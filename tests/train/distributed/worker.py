"""One of the processes that `test_sharded.py` has torchrun start, in step with the others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.train.conftest import NUM_ITEMS, tiny_recipe
from tests.train.distributed.sampled_steps import (
    SAMPLED,
    STILL_SAMPLED,
    auto_samples,
    joined,
    tables_agree,
    touching_nothing,
)
from unimp.data.dataset import Dataset
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.recipe import Recipe
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.sentence.batch import Batch
from unimp.train import training_run
from unimp.train.distributed.processes import find_process_group
from unimp.train.distributed.sharded import ShardedProcessGroup
from unimp.train.optimizer import learning_rate
from unimp.train.preparation import build_artifacts
from unimp.train.process_group import ProcessGroup
from unimp.train.sampled import identity_rows
from unimp.train.trainer import StepBatch, Training
from unimp.train.training_run import train

CPU = torch.device("cpu")
STILL = {"dropout": 0.0, "input_dropout": 0.0}
RESUMED = tiny_recipe(train={"epochs": 2, "checkpoint_seconds": 1e-9, "average": 0.9})
TEXT = tiny_recipe(train={"epochs": 1}, vision={"enabled": False})


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


def backbone_recipe(folder: Path, learning: str, precision: str = "float32") -> Recipe:
    """Frozen, as the paper's shape has it: layers are computed twice."""
    backbone = {"train": learning, "precision": precision, "gradient_checkpointing": learning == "frozen"}
    return tiny_recipe(
        sentence={"attributes": "words", "fields": ["brand"], "max_items": 6},
        backbone={"name": str(folder), **backbone},
        model={"heads": 2, "cross_attention_width": 16, **STILL},
        lora={"dropout": 0.0},
        train={"lr": 0.3, "clip": 10.0},
    )


def without_pictures(batch: Batch) -> Batch:
    return replace(batch, views=(), picture_rows=batch.picture_rows[:0])


def bench_of(dataset: Dataset, recipe: Recipe) -> tuple[RunArtifacts, TrainingSplit]:
    training_split = TrainingSplit.of(dataset, make_split(dataset, recipe.train.split))
    return build_artifacts(training_split, recipe, device=CPU, show_progress=False), training_split


def turns(training: Training) -> list[tuple[StepBatch, StepBatch]]:
    """What two processes do in four steps: both see pictures, one alone, none, both; the last one idles."""
    plan = training.sentences.plan(0)
    made = [StepBatch(one, training.sentences.batch(one), 1.0) for one in (plan * 8)[:7]]
    blind = [replace(turn, batch=without_pictures(turn.batch)) for turn in made]
    last = replace(made[6], weight=2.0), replace(made[6], weight=0.0)
    return [(blind[0], blind[1]), (made[0], made[1]), (made[2], blind[3]), (blind[4], blind[5]), last]


def step_together(training: Training, pair: tuple[StepBatch, StepBatch]) -> None:
    """The reference: one process, the mean of two losses, the gradients that there are."""
    for group in training.optimizer.param_groups:
        group["lr"] = (
            learning_rate(training.config, training.position.step, training.total_steps) * group["share"]
        )
    training.step.train()
    step, items, losses, touched = training.position.step, training.step.sampled, [], []
    for turn in pair:
        if turn.weight:
            loss = training.step(turn.batch, training.task_weights[turn.task.name], step)
            losses.append(loss.total * turn.weight)
            touched += [items.touched] if items is not None and items.touched is not None else []
    training.optimizer.zero_grad(set_to_none=True)
    torch.stack(losses).sum().div(2).backward()
    if items is not None:
        joined(items, touched, step)
    rows = [] if items is None else items.leaves()
    torch.nn.utils.clip_grad_norm_([*training.model.parameters(), *rows], training.config.clip)
    training.optimizer.step()
    if items is not None:
        items.update(step)


def apart(dataset: Dataset, recipe: Recipe, folder: Path, process_group: ProcessGroup) -> dict[str, float]:
    """Largest differences of weights, and of moments, between two processes and one after the same steps."""
    artifacts, training_split = bench_of(dataset, recipe)
    alone = Training(folder, artifacts, training_split, CPU, show=False)
    shared = Training(folder, artifacts, training_split, CPU, show=False, process_group=process_group)
    shared.total_steps = alone.total_steps  # the same learning rates
    for training in (alone, shared):
        for group in training.optimizer.param_groups:
            group["eps"] = 1.0  # Adam would blow up the last bits of gradients near zero
        if training.step.sampled is not None:
            rows = identity_rows(training.model, training.optimizer, training.config, alone.total_steps)
            rows.eps, training.step.sampled.rows = 1.0, rows
    learned = {name: p for name, p in alone.model.named_parameters() if p.requires_grad}
    before = {name: parameter.detach().clone() for name, parameter in learned.items()}
    for pair in turns(alone):
        step_together(alone, pair)
        shared._step(pair[process_group.rank])
        for training in (alone, shared):
            training.position.step += 1
    agreed = shared.step.sampled is None or tables_agree(shared)
    for training in (alone, shared):
        if training.step.sampled is not None:
            training.step.sampled.rows.catch_up(training.position.step)
    weights, after = shared.process_group.gathered(shared.model), alone.model.learned_state()
    known = [
        {name for name, p in one.model.named_parameters() if p in one.optimizer.state}
        for one in (alone, shared)
    ]
    if not process_group.is_main:
        return {}
    assert weights.keys() == after.keys()
    assert all(weights[name].shape == after[name].shape for name in after)
    return {
        "weights": max(float((weights[n] - after[n]).abs().max()) for n in learned),
        "moved": max(float((before[n] - after[n]).abs().max()) for n in learned),
        "states": float(len(known[0] ^ known[1])),
        "agreed": float(agreed),
    }


def killed(
    dataset: Dataset, folder: Path, process_group: ProcessGroup | None, at: int, recipe: Recipe = RESUMED
) -> None:
    """A training that ends in its step number `at`."""

    class Dying(Training):
        def _step(self, turn: StepBatch) -> Any:
            if self.position.step == at:
                raise Killed
            return super()._step(turn)

    training_run.Training = Dying  # type: ignore[misc]
    try:
        train(dataset, recipe, folder, show=False, process_group=process_group)
    except Killed:
        pass
    finally:
        training_run.Training = Training  # type: ignore[misc]


def main(data: Path, out: Path, lm: str) -> None:
    torch.set_num_threads(1)
    dataset = Dataset.load(data)
    process_group, _ = find_process_group(CPU)
    found: dict[str, Any] = {"size": process_group.size}

    def noted(name: str, work: Callable[[], Any]) -> None:
        found[name] = work()

    close, ShardedProcessGroup.close = ShardedProcessGroup.close, ProcessGroup.close  # type: ignore[method-assign]
    still = tiny_recipe(model=STILL, train={"lr": 0.3, "clip": 10.0})
    noted("compact", lambda: apart(dataset, still, out / "none", process_group))
    if lm:
        for learning in ("frozen", "lora", "full"):
            recipe = backbone_recipe(Path(lm), learning)
            noted(learning, lambda recipe=recipe: apart(dataset, recipe, out / "none", process_group))
        for name, learning in (("short", "lora"), ("autocast", "full")):
            recipe = backbone_recipe(Path(lm), learning, "bfloat16")
            noted(name, lambda recipe=recipe: apart(dataset, recipe, out / "none", process_group))
    noted("sampled", lambda: apart(dataset, STILL_SAMPLED, out / "none", process_group))
    noted("nothing", lambda: touching_nothing(*bench_of(dataset, SAMPLED), out / "none", process_group))
    open_recipe = bench_of(dataset, tiny_recipe())
    for name, least in (("auto", NUM_ITEMS), ("auto below", NUM_ITEMS + 1)):
        noted(name, lambda least=least: auto_samples(*open_recipe, out / "none", process_group, least))
    for recipe, prefix in ((RESUMED, ""), (SAMPLED, "sampled-")):
        train(dataset, recipe, out / f"{prefix}whole", show=False, process_group=process_group)
        for at in (1, 4):
            killed(dataset, out / f"{prefix}parts", process_group, at, recipe)
        train(dataset, recipe, out / f"{prefix}parts", show=False, process_group=process_group)
        killed(dataset, out / f"{prefix}to-one", process_group, 4, recipe)
        train(dataset, recipe, out / f"{prefix}from-one", show=False, process_group=process_group)
    train(dataset, TEXT, out / "text", show=False, process_group=process_group)
    if process_group.is_main:
        (out / "found.json").write_text(json.dumps(found))
    close(process_group)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
