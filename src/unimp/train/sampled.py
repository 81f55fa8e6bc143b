"""`SampledItems`: a training step that makes the vectors of the items it touches, and of no others."""

# R touched rows, C candidates, D width

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.core.progress import say
from unimp.features.vision.encoder import pooled
from unimp.model.inputs import ItemInputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.runs.recipe import Recipe
from unimp.runs.training_config import SAMPLED_FROM
from unimp.sentence.batch import Batch
from unimp.train.negatives import NegativeSampler
from unimp.train.row_adamw import RowAdamW, Touched


def samples_items(recipe: Recipe, num_items: int, device: torch.device, *, shards: bool, show: bool) -> bool:
    """Whether training draws negatives, said aloud where the size decides. ConfigError with several processes
    where the recipe insists."""
    wanted, least = recipe.objective.softmax, SAMPLED_FROM.get(device.type, SAMPLED_FROM["cuda"])
    if wanted == "sampled" and shards:
        raise ConfigError(
            'objective.softmax = "sampled": is for one process; set it to "full" under torchrun'
        )
    if wanted != "auto":
        return wanted == "sampled"
    if num_items < least or shards:
        return False
    say(
        f"{num_items:,} items, from {least:,} on ({device.type}): each step looks for the next item among "
        f"its own and {recipe.objective.negatives:,} drawn ones (`--set objective.softmax=full`: all items)",
        show=show,
    )
    return True


@dataclass
class SampledItems:
    """What the steps of a training draw from, and how the rows of the identity table learn."""

    sampler: NegativeSampler
    rows: RowAdamW
    inputs: ItemInputs
    touched: Touched | None = None
    """Of the step that is being taken."""

    def at_step(self, model: UnimpModel, batch: Batch, step: int) -> tuple[ItemState, Batch, Tensor | None]:
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
        self.touched = self.rows.touch(rows_R, step)
        state = model.item_state(self.inputs.at(rows_R), self.touched.values_RD)
        return state, in_rows(batch, rows_R, pictures=trained), log_weights_C

    def leaves(self) -> list[Tensor]:
        """The rows whose gradient the step collects."""
        return [] if self.touched is None else [self.touched.values_RD]

    def update(self, step: int) -> None:
        """After backward: the rows learn."""
        assert self.touched is not None
        self.rows.update(self.touched, step)
        self.touched = None


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


def in_rows(batch: Batch, rows_R: Tensor, *, pictures: bool) -> Batch:
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
