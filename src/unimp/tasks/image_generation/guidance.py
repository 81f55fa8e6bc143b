"""Which code comes next: classifier-free guidance (Ho & Salimans 2022), in which words and history each count
as often as asked, then a draw among the likely ones."""

# U pictures, C codes

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import groupby

import torch
from torch import Tensor

from unimp.tasks.image_generation.sampling import SamplingConfig

COLDEST = 1e-3
"""A temperature below this takes the likeliest code: dividing by it would overflow."""


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


def sample(logits_UC: Tensor, config: SamplingConfig, generators: Sequence[torch.Generator]) -> Tensor:
    """[U] one code each; drawn on the CPU, so that a seed means the same on every device.

    generators: [U]; rows beside each other that share one are drawn together.
    """
    if config.temperature < COLDEST:
        return logits_UC.argmax(dim=-1)
    p_UC = torch.softmax(logits_UC.cpu() / config.temperature, dim=-1)
    ordered = p_UC.sort(dim=-1, descending=True)
    outside = ordered.values.cumsum(dim=-1) - ordered.values >= config.top_p
    p_UC = p_UC.scatter(1, ordered.indices, ordered.values.masked_fill(outside, 0.0))
    drawn: list[Tensor] = []
    start = 0
    for _, group in groupby(generators, key=id):
        stop = start + len(list(group))
        drawn.append(torch.multinomial(p_UC[start:stop], 1, generator=generators[start])[:, 0])
        start = stop
    return torch.cat(drawn).to(logits_UC.device)
