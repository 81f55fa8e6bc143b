"""The objective: weighted cross-entropy of what each position predicts, with token-level re-weighting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unimp.encode.batch import Batch
from unimp.encode.encoder import Kind
from unimp.model.cross_entropy import linear_cross_entropy
from unimp.model.unimp import ItemState, UnimpModel
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
    candidates: Tensor | None = None,
) -> Loss:
    """Sum over kinds of weight x mean cross-entropy: items over the catalogue, tokens over all words."""
    hidden = hidden_BTD.reshape(-1, hidden_BTD.shape[-1])
    total = hidden.new_zeros(())
    components: dict[str, float] = {}
    predicted = 0
    items = batch.item_targets
    if config.item and len(items.labels):
        table_ID, labels = among_candidates(state.table_ID, items.labels, candidates)
        mean, losses = linear_cross_entropy(
            model.scale * hidden.index_select(0, items.positions),
            table_ID,
            labels,
            items.parts,
            items.shares,
            gamma=config.gamma,
            smoothing=config.label_smoothing,
        )
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


def among_candidates(table_ID: Tensor, labels_NH: Tensor, candidates: Tensor | None) -> tuple[Tensor, Tensor]:
    """The rows of the table that compete, and the labels as places among them (every label is one)."""
    if candidates is None:
        return table_ID, labels_NH
    return table_ID.index_select(0, candidates), torch.searchsorted(candidates, labels_NH)
