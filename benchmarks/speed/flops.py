"""Floating-point operations of a batch by count: its time if only matrix products took any.

Counted on positions that hold something; padding, norms, activations and the optimiser are no work. A product
with weights costs twice their number a position, forward; as much again for the gradient of what it read, and
as much again for the gradient of the weights where they learn: 6 N in all, 4 N where they are frozen.
"""

# B sentences, T positions, D width, I items, P pictures, V visual tokens

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from unimp.model.backbones.tokens import BackboneTokens
from unimp.model.cross_attention import GatedCrossAttention
from unimp.model.inputs import ItemInputs
from unimp.model.unimp import UnimpModel
from unimp.sentence.batch import Batch
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.training_batch import TrainingBatch
from unimp.train.objective import Objective


@dataclass(frozen=True)
class Work:
    """Operations by part of the model."""

    decoder: float
    attention: float
    cross_attention: float
    head: float
    table: float
    """Of the projections that make the items' vectors."""

    @property
    def total(self) -> float:
        return self.decoder + self.attention + self.cross_attention + self.head + self.table


def linear_weights(model: UnimpModel, *, adapters: bool) -> Iterator[Tensor]:
    """Weights of the decoder's linear layers."""
    for name, module in model.decoder.named_modules():
        is_linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if is_linear and (adapters or ".lora_" not in name):
            yield module.weight  # type: ignore[misc]


def training_work(objective: Objective, batch: TrainingBatch, inputs: ItemInputs) -> Work:
    """A training step: forward and backward."""
    model = objective.model
    decoder = sum(
        (6 if weight.requires_grad else 4) * weight.numel() * batch.num_positions
        for weight in linear_weights(model, adapters=True)
    )
    made, read = crossing(model, batch, inputs)
    return Work(
        decoder,
        3 * attention(model, batch),
        (3 if model.resampler else 2) * made + 3 * read,
        sum(predictions(objective, batch)) * model.width,
        2 * table(model, inputs),
    )


def ranking_work(model: UnimpModel, batch: Batch, inputs: ItemInputs) -> Work:
    """Reading the sentences and scoring every item at their ends; the item table is there already."""
    weights = sum(weight.numel() for weight in linear_weights(model, adapters=False))
    return Work(
        2 * weights * batch.num_positions,
        attention(model, batch),
        sum(crossing(model, batch, inputs)),
        2 * len(batch.lengths) * len(model.items.identity.weight) * model.width,
        0.0,
    )


def attention(model: UnimpModel, batch: Batch) -> float:
    """Forward: each position with itself and those before it, queries as wide as the layers."""
    pairs = float((batch.lengths * (batch.lengths + 1) // 2).sum())
    return 4 * pairs * model.decoder.layer_width * model.decoder.num_layers


def crossing(model: UnimpModel, batch: Batch, inputs: ItemInputs) -> tuple[float, float]:
    """Forward: keys and values of each picture; queries of each seeing token, and their products.

    A resampler's own layers are left out.
    """
    if inputs.visual_IVE is None or not len(batch.picture_rows):
        return 0.0, 0.0
    tokens = inputs.visual_IVE.shape[1] if model.resampler is None else len(model.resampler.queries_RE)
    seeing = sum(len(view.positions) for view in batch.views)
    seen = sum(int((view.pictures >= 0).sum(dim=1)[view.group].sum()) for view in batch.views) * tokens
    made = read = 0.0
    for block in model.cross_attention:
        assert isinstance(block, GatedCrossAttention)
        inner = block.query.weight.shape[0]
        per_token = block.query.weight.numel() + block.out.weight.numel()
        made += 2 * len(batch.picture_rows) * tokens * block.key_value.weight.numel()
        read += 2 * seeing * per_token + 4 * inner * seen
    return made, read


def predictions(objective: Objective, batch: TrainingBatch) -> Iterator[float]:
    """Of each part of the loss, operations per width: forward, and backward where rows learn."""
    items, candidates = objective.model.items.identity.weight, objective.inputs.candidates
    yield 6.0 * len(batch.item_targets.labels) * len(items if candidates is None else candidates)
    tokens = objective.model.tokens
    learns = not isinstance(tokens, BackboneTokens) or tokens.words.weight.requires_grad
    for kind in (Kind.ATTRIBUTE, Kind.RATING, Kind.WORD, Kind.CODE):
        if objective.weight(kind, Role.CONTEXT):
            first, stop = objective.token_range(kind)
            chosen = int((batch.token_targets.kinds == int(kind)).sum())
            yield (6.0 if learns else 4.0) * chosen * (stop - first)


def table(model: UnimpModel, inputs: ItemInputs) -> float:
    """Forward: every item's content through its projections."""
    rows = len(model.items.identity.weight)
    return sum(2.0 * rows * weight.numel() for weight in model.items.projections.parameters())
