"""The sampled softmax in `worker.py`: what one process does with two batches, and what all must agree on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from tests.train.conftest import tiny_recipe
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.training_split import TrainingSplit
from unimp.sentence.batch import Batch
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.targets import TokenTargets
from unimp.train import sampled
from unimp.train.process_group import ProcessGroup
from unimp.train.row_adamw import Touched
from unimp.train.sampled import SampledItems
from unimp.train.trainer import StepBatch, Training

CPU = torch.device("cpu")
SAMPLED = tiny_recipe(
    objective={"softmax": "sampled", "negatives": 6}, train={"epochs": 2, "checkpoint_seconds": 1e-9}
)
STILL_SAMPLED = tiny_recipe(
    objective={"softmax": "sampled", "negatives": 6},
    model={"dropout": 0.0, "input_dropout": 0.0},
    train={"lr": 0.3, "clip": 0.2},
)
"""Its gradients are cut, so that their norm matters."""


def joined(items: SampledItems, touched: list[Touched], step: int) -> None:
    """Let the next update change all rows that the batches touched, by the sum of their gradients."""
    rows_U = torch.unique(torch.cat([batch_rows.rows_R for batch_rows in touched]))
    items.touched = items.rows.touch(rows_U, step)
    values_UD = items.touched.values_RD
    values_UD.grad = torch.zeros_like(values_UD)
    for batch_rows in touched:
        assert batch_rows.values_RD.grad is not None
        values_UD.grad.index_add_(0, torch.searchsorted(rows_U, batch_rows.rows_R), batch_rows.values_RD.grad)


def same_everywhere(tensors: list[Tensor]) -> bool:
    """Whether every process holds the same bits."""
    found = []
    for tensor in tensors:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        found += [torch.equal(part, tensor) for part in parts]
    verdicts = torch.tensor(all(found), dtype=torch.uint8)
    dist.all_reduce(verdicts, dist.ReduceOp.MIN)
    return bool(verdicts)


def tables_agree(training: Training) -> bool:
    """Whether identities, their moments and the steps that rows have reached are the same everywhere."""
    assert training.step.sampled is not None
    rows = training.step.sampled.rows
    return same_everywhere([rows.parameter.detach(), *rows.state.values()])


def without_items(batch: Batch) -> Batch:
    """It shows no item and predicts one word."""
    nothing = batch.item_targets.where(batch.item_targets.labels[:, 0] < 0)
    one, kind, role = torch.ones(1), int(Kind.WORD), int(Role.ANSWER)
    word = TokenTargets(
        torch.tensor([0]), torch.tensor([[2]]), one[:, None], torch.tensor([kind]), torch.tensor([role]), one
    )
    items, pictures = torch.full_like(batch.items, -1), batch.picture_rows[:0]
    return replace(
        batch, items=items, views=(), picture_rows=pictures, item_targets=nothing, token_targets=word
    )


def touching_nothing(
    artifacts: RunArtifacts, split: TrainingSplit, folder: Path, group: ProcessGroup
) -> dict[str, bool]:
    """A step in which the second process alone has a batch without items, then one in which both have."""
    training = Training(folder, artifacts, split, CPU, show=False, process_group=group)
    assert training.step.sampled is not None
    table = training.step.sampled.rows.parameter.detach()
    planned = training.sentences.plan(0)[0]
    batch, moved = training.sentences.batch(planned), []
    for bare in (group.rank == 1, True):
        before = table.clone()
        training._step(StepBatch(planned, without_items(batch) if bare else batch, 1.0))
        training.position.step += 1
        moved.append(not torch.equal(before[1:], table[1:]))
    return {"moved by one": moved[0], "still": not moved[1], "agree": tables_agree(training)}


def auto_samples(
    artifacts: RunArtifacts, split: TrainingSplit, folder: Path, group: ProcessGroup, least: int
) -> bool:
    """Whether a training whose recipe leaves the softmax open draws negatives from so many items on."""
    before = sampled.SAMPLED_FROM["cpu"]
    sampled.SAMPLED_FROM["cpu"] = least
    training = Training(folder, artifacts, split, CPU, show=False, process_group=group)
    sampled.SAMPLED_FROM["cpu"] = before
    return training.step.sampled is not None
