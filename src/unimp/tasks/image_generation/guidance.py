"""Classifier-free guidance (Ho & Salimans 2022): words and history each count as often as asked."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor


class Conditioning(Enum):
    """What is read before a picture is drawn: the same sentence, with ever less in it."""

    ALL = "words and history"
    WORDS = "words"
    PLAN = "what the user's search expects beside the words"
    NOTHING = "neither"


def conditioning_weights(
    guidance: float, history_guidance: float | None, plan_guidance: float = 0.0
) -> dict[Conditioning, float]:
    """How much each reading's log-probabilities count, 1 together; those that do not count are left out.

    With guidance g, history_guidance h (None: g) and plan_guidance w: log p(neither)
    + g (log p(words) − log p(neither)) + h (log p(words and history) − log p(words))
    + w (log p(plan) − log p(neither)), the last as Liu et al. (2022) put conditions together.
    """
    towards = guidance if history_guidance is None else history_guidance
    weights = {
        Conditioning.ALL: towards,
        Conditioning.WORDS: guidance - towards,
        Conditioning.PLAN: plan_guidance,
        Conditioning.NOTHING: 1.0 - guidance - plan_guidance,
    }
    return {conditioning: weight for conditioning, weight in weights.items() if weight}


def guided(logits: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """[U, C] the readings' log-probabilities, weighted; a single reading's logits as they are."""
    if len(logits) == 1:
        return logits[0]
    parts = [weight * torch.log_softmax(each, dim=-1) for each, weight in zip(logits, weights, strict=True)]
    return torch.stack(parts).sum(dim=0)
