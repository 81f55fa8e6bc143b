"""`SampledItems`: a training step that makes the vectors of the items it touches, and of no others."""

# R touched rows, S those of all processes, C candidates, D width

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unimp.core.progress import say
from unimp.features.vision.encoder import pooled
from unimp.model.inputs import ItemInputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.recipe import Recipe
from unimp.runs.training_config import SAMPLED_FROM, TrainConfig
from unimp.sentence.training_batch import TrainingBatch
from unimp.train.negatives import NegativeSampler
from unimp.train.optimizer import BETAS, learning_rate
from unimp.train.process_group import ProcessGroup
from unimp.train.row_adamw import RowAdamW, Touched


def samples_items(recipe: Recipe, num_items: int, device: torch.device, *, show: bool) -> bool:
    """Whether training draws negatives, said aloud where the size decides."""
    wanted, least = recipe.objective.softmax, SAMPLED_FROM.get(device.type, SAMPLED_FROM["cuda"])
    if wanted != "auto":
        return wanted == "sampled"
    if num_items < least:
        return False
    say(
        f"{num_items:,} items, from {least:,} on ({device.type}): each step looks for the next item among "
        f"its own and {recipe.objective.negatives:,} drawn ones (`--set objective.softmax=full`: all items)",
        show=show,
    )
    return True


@dataclass
class SampledItems:
    """What the steps of a training draw from, and how the rows of the identity table learn.

    Every process holds the whole table and changes the rows that any of them touches by the mean of their
    gradients, so all tables stay the same. All processes draw the same negatives in a step.
    """

    sampler: NegativeSampler
    rows: RowAdamW
    inputs: ItemInputs
    process_group: ProcessGroup = field(default_factory=ProcessGroup)
    touched: Touched | None = None
    """Of the step that is being taken."""

    def at_step(
        self, model: UnimpModel, batch: TrainingBatch, step: int
    ) -> tuple[ItemState, TrainingBatch, Tensor | None]:
        """Vectors of the R touched items, the batch in their rows, and the candidates' log weights [C].

        The candidates are the first C of the R rows; None where the batch predicts no item.
        """
        device = batch.items.device
        labels_NH, log_weights_C = batch.item_targets.labels, None
        candidates_C = torch.empty(0, dtype=torch.int64, device=device)
        if len(labels_NH):
            candidates_C, log_weights_C = self.sampler.candidates(labels_NH, step)
        trained = model.vision is not None
        others = known_rows(
            [
                batch.items,
                batch.choice_targets.candidates,
                batch.query_pictures,
                *([batch.picture_rows] if trained else []),
            ]
        )
        rows_R = torch.cat((candidates_C, others[~torch.isin(others, candidates_C)]))
        if not len(rows_R):
            rows_R = rows_R.new_zeros(1)  # the model reads a table of one row at least
        shared_S = self.process_group.union(rows_R)
        self.touched = self.rows.touch(shared_S, step)
        values_RD = self.touched.values_RD
        if shared_S is not rows_R:
            values_RD = values_RD.index_select(0, torch.searchsorted(shared_S, rows_R))
        state = model.item_state(self.inputs.at(rows_R), values_RD)
        return state, in_rows(batch, rows_R, pictures=trained), log_weights_C

    def leaves(self) -> list[Tensor]:
        """After backward: the rows that the step touches, with the mean of the processes' gradients."""
        if self.touched is None:
            return []
        values_RD = self.touched.values_RD
        if values_RD.grad is None:
            values_RD.grad = torch.zeros_like(values_RD)
        self.process_group.average(values_RD.grad)
        return [values_RD]

    def update(self, step: int) -> None:
        """After `leaves`: the rows learn."""
        assert self.touched is not None
        self.rows.update(self.touched, step)
        self.touched = None


def sampled_items(
    artifacts: RunArtifacts,
    model: UnimpModel,
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    process_group: ProcessGroup,
) -> SampledItems:
    """For a training of so many steps, whose other weights `optimizer` changes."""
    recipe = artifacts.recipe
    sampler = NegativeSampler(
        artifacts.popularity,
        draws=recipe.objective.negatives,
        power=recipe.objective.negatives_power,
        seed=recipe.train.seed,
        cold=recipe.objective.cold_negatives,
        common_events=recipe.objective.common_events,
    )
    rows = identity_rows(model, optimizer, recipe.train, total_steps)
    trained, described = model.vision is not None, model.described_pictures
    inputs = sampled_inputs(artifacts.items, trained=trained, described=described)
    return SampledItems(sampler, rows, inputs, process_group)


def identity_rows(
    model: UnimpModel, optimizer: torch.optim.Optimizer, config: TrainConfig, total_steps: int
) -> RowAdamW:
    """The optimizer of the identity table in a training of so many steps."""
    return RowAdamW(
        model.items.identity.weight,
        optimizer,
        lambda step: learning_rate(config, step, total_steps),
        total_steps,
        weight_decay=config.weight_decay,
        betas=BETAS,
    )


def sampled_inputs(items: ItemInputs, *, trained: bool, described: bool = False) -> ItemInputs:
    """What steps gather from: pooled pictures at hand, so that only shown pictures' tokens are read.

    `described`: a picture's first token is its descriptor, which stands for all of it.
    """
    if trained or items.visual_IVE is None or items.pooled_IP is not None:
        return items
    if described:
        return replace(items, pooled_IP=items.visual_IVE[:, 0])
    return replace(items, pooled_IP=pooled(items.visual_IVE))


def known_rows(tables: Iterable[Tensor]) -> Tensor:
    """The catalogue's rows in these tensors, each once, in rising order; negative entries are none."""
    rows = torch.cat([table.flatten() for table in tables])
    return torch.unique(rows[rows >= 0])


def in_rows(batch: TrainingBatch, rows_R: Tensor, *, pictures: bool) -> TrainingBatch:
    """The batch with places in `rows_R` instead of rows of the catalogue; negative entries stay.

    `pictures`: the pictures' rows as well. They stay in rising order of the places.
    """
    ordered_R, order_R = rows_R.sort()

    def local(rows: Tensor) -> Tensor:
        found = torch.searchsorted(ordered_R, rows.clamp(min=0)).clamp(max=max(len(order_R) - 1, 0))
        return torch.where(rows >= 0, order_R[found], rows) if len(order_R) else rows

    return replace(
        batch,
        items=local(batch.items),
        query_pictures=local(batch.query_pictures),
        picture_rows=local(batch.picture_rows) if pictures else batch.picture_rows,
        item_targets=replace(batch.item_targets, labels=local(batch.item_targets.labels)),
        choice_targets=replace(batch.choice_targets, candidates=local(batch.choice_targets.candidates)),
    )
