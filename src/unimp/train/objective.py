"""The objective: weighted cross-entropy of what each position predicts, with token-level re-weighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from unimp.core.cross_entropy import focal_mean, linear_cross_entropy
from unimp.model.inputs import ItemInputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.runs.training_config import ObjectiveConfig
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.targets import ChoiceTargets, TokenTargets
from unimp.sentence.training_batch import TrainingBatch
from unimp.sentence.vocabulary import END, Vocabulary


class Loss(NamedTuple):
    """`total` is minimised; `components` are the unweighted means, in nats, by what is predicted."""

    total: Tensor
    components: dict[str, float]
    predicted: int
    """Predictions that counted."""


@dataclass
class Objective:
    """Sum over roles and kinds of weight x mean cross-entropy, divided by the sum of the weights.

    Items are sought in the catalogue, chosen ones among their candidates, tokens among those of their kind.
    """

    model: UnimpModel
    vocabulary: Vocabulary
    config: ObjectiveConfig
    inputs: ItemInputs

    def __call__(
        self,
        hidden_BTD: Tensor,
        state: ItemState,
        batch: TrainingBatch,
        weight: float = 1.0,
        log_weights: Tensor | None = None,
    ) -> Loss:
        """The loss of a batch of one task; `weight` is the task's λ.

        `log_weights` [C]: items are sought among the table's first C rows, a sample; see `NegativeSampler`.
        """
        hidden = hidden_BTD.reshape(-1, hidden_BTD.shape[-1])
        total, weights, predicted = hidden.new_zeros(()), 0.0, 0
        components: dict[str, float] = {}
        for name, part, mean, plain, count in self.parts(hidden, state, batch, log_weights):
            total = total + part * mean
            weights += part
            components[name] = plain
            predicted += count
        return Loss(weight * total / max(weights, 1e-9), components, predicted)

    def parts(
        self, hidden: Tensor, state: ItemState, batch: TrainingBatch, log_weights: Tensor | None = None
    ) -> list[tuple[str, float, Tensor, float, int]]:
        """(name, weight, mean loss, its plain value, predictions) of everything the batch predicts."""
        found: list[tuple[str, float, Tensor, float, int]] = []
        for role in (Role.ANSWER, Role.CONTEXT):
            items = batch.item_targets.where(batch.item_targets.roles == int(role))
            weight = 1.0 if role is Role.ANSWER else self.config.item
            if weight and len(items.labels):
                mean, losses = self.item_loss(hidden, state, items, log_weights)
                found.append((label(Kind.ITEM, role), weight, mean, float(losses.mean()), len(items.labels)))
            for kind in (Kind.ATTRIBUTE, Kind.RATING, Kind.WORD, Kind.CODE):
                targets = batch.token_targets
                chosen = targets.where((targets.kinds == int(kind)) & (targets.roles == int(role)))
                weight = self.weight(kind, role)
                if weight and len(chosen.labels):
                    mean, losses = self.token_loss(hidden, chosen, kind)
                    shares = chosen.shares
                    plain = float((losses * shares).sum() / shares.sum())
                    found.append((label(kind, role), weight, mean, plain, int(shares.sum().round())))
        if len(batch.choice_targets.labels):
            nll = self.choice_losses(hidden, state, batch.choice_targets)
            mean = focal_mean(nll, self.config.gamma, self.config.detach)
            found.append((label(Kind.CHOICE, Role.ANSWER), 1.0, mean, float(nll.detach().mean()), len(nll)))
        return found

    def weight(self, kind: Kind, role: Role) -> float:
        if role is Role.ANSWER:
            return 1.0
        return {Kind.ATTRIBUTE: self.config.attribute, Kind.RATING: self.config.rating}.get(kind, 1.0)

    def token_loss(self, hidden_ND: Tensor, targets: TokenTargets, kind: Kind) -> tuple[Tensor, Tensor]:
        """(mean, losses [N]) among the tokens of one kind."""
        first, stop = self.token_range(kind)
        return linear_cross_entropy(
            hidden_ND.index_select(0, targets.positions)[:, : self.model.width],
            self.model.tokens.rows(first, stop),
            targets.labels - first,
            targets.parts,
            targets.shares,
            gamma=self.config.gamma,
            detach=self.config.detach,
        )

    def token_range(self, kind: Kind) -> tuple[int, int]:
        """Which tokens may stand where this kind is predicted."""
        vocabulary = self.vocabulary
        if kind is Kind.RATING:
            return vocabulary.first_rating, vocabulary.first_word
        if kind is Kind.CODE:
            return vocabulary.first_code, vocabulary.first_place
        return 0, vocabulary.first_code  # words, and the markers of fields, missing values and ends

    def choice_losses(self, hidden_ND: Tensor, state: ItemState, targets: ChoiceTargets) -> Tensor:
        """[N] -log p of the right candidate."""
        logits_NC = self.model.choice_logits(
            hidden_ND.index_select(0, targets.positions),
            targets.candidates,
            state.table_ID,
            self.vocabulary.markers[END],
        )
        return -torch.log_softmax(logits_NC, dim=-1).gather(1, targets.labels[:, None])[:, 0]

    def item_loss(
        self, hidden_ND: Tensor, state: ItemState, targets: TokenTargets, log_weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(mean, losses [N]) of item targets among the candidates, or the sample that stands for all."""
        table_ID, labels_NH, candidates = state.table_ID, targets.labels, self.inputs.candidates
        if log_weights is not None:
            table_ID = table_ID[: len(log_weights)]
        else:
            log_weights = self.inputs.log_shares
            if candidates is not None:
                table_ID = table_ID.index_select(0, candidates)
                labels_NH = torch.searchsorted(candidates, labels_NH)  # every label is a candidate
        return linear_cross_entropy(
            self.model.sought(hidden_ND.index_select(0, targets.positions)),
            table_ID,
            labels_NH,
            targets.parts,
            targets.shares,
            gamma=self.config.gamma,
            detach=self.config.detach,
            log_weights_I=log_weights,
        )


def label(kind: Kind, role: Role) -> str:
    """`item` is an answer, `context item` a reconstruction."""
    return kind.name.lower() if role is Role.ANSWER else f"context {kind.name.lower()}"
