"""The objective: weighted cross-entropy of what each position predicts, with token-level re-weighting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unimp.encode.batch import Batch, Targets
from unimp.encode.encoder import Kind
from unimp.model.cross_entropy import linear_cross_entropy
from unimp.model.unimp import ItemInputs, ItemState, UnimpModel
from unimp.train.recipe import ObjectiveConfig


@dataclass(frozen=True)
class Loss:
    """`total` is minimised; `components` are the unweighted means, in nats, by what is predicted."""

    total: Tensor
    components: dict[str, float]
    predicted: int
    """Positions that were a target."""


def objective(
    model: UnimpModel,
    hidden_BTD: Tensor,
    state: ItemState,
    batch: Batch,
    config: ObjectiveConfig,
    inputs: ItemInputs,
) -> Loss:
    """Sum over kinds of weight x mean cross-entropy: items over the catalogue, tokens over all words."""
    hidden = hidden_BTD.reshape(-1, hidden_BTD.shape[-1])
    total = hidden.new_zeros(())
    components: dict[str, float] = {}
    predicted = 0
    items = batch.item_targets
    if config.item and len(items.labels):
        mean, losses = item_loss(model, hidden, state, items, config, inputs)
        total = total + config.item * mean
        components["item"] = float(losses.mean())
        predicted += len(items.labels)
    for kind, weight in ((Kind.ATTRIBUTE, config.attribute), (Kind.RATING, config.rating)):
        chosen = batch.token_targets.where(batch.token_targets.kinds == int(kind))
        if weight and len(chosen.labels):
            mean, losses = linear_cross_entropy(
                hidden.index_select(0, chosen.positions),
                model.tokens.weight,
                chosen.labels,
                chosen.parts,
                chosen.shares,
                gamma=config.gamma,
            )
            total = total + weight * mean
            components[kind.name.lower()] = float((losses * chosen.shares).sum() / chosen.shares.sum())
            predicted += int(chosen.shares.sum().round())
    return Loss(total, components, predicted)


def item_loss(
    model: UnimpModel,
    hidden_ND: Tensor,
    state: ItemState,
    targets: Targets,
    config: ObjectiveConfig,
    inputs: ItemInputs,
) -> tuple[Tensor, Tensor]:
    """(mean, losses [N]) of the item targets among the candidates, logits adjusted by the items' prior."""
    table_ID, labels_NH, bias_I = state.table_ID, targets.labels, None
    if config.prior and inputs.log_popularity_I is not None:
        bias_I = config.prior * inputs.log_popularity_I
    if inputs.candidates is not None:
        table_ID = table_ID.index_select(0, inputs.candidates)
        labels_NH = torch.searchsorted(inputs.candidates, labels_NH)  # every label is a candidate
        bias_I = None if bias_I is None else bias_I[inputs.candidates]
    return linear_cross_entropy(
        model.scale * hidden_ND.index_select(0, targets.positions),
        table_ID,
        labels_NH,
        targets.parts,
        targets.shares,
        bias_I=bias_I,
        gamma=config.gamma,
        smoothing=config.label_smoothing,
    )
