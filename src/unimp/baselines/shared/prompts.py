"""Prompts for sequential recommendation: words around a history of item ids, as rows of token numbers."""

# B users, T tokens, E events, L tokens of an item's id, S tokens that an event takes in all

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import Histories, IntArray

TEMPLATES: tuple[tuple[str, str], ...] = (
    ("purchase history of a user :", ". the next item is"),
    ("a user has bought", ", what should be recommended next ?"),
    ("which item will a user want after", "?"),
    ("latest purchases :", "; predict the item that follows"),
    ("continue the list of purchases", "with one more item"),
)
"""What stands before the history and what behind it. The first is the one that scoring uses."""
WORDS = sorted({word for template in TEMPLATES for text in template for word in text.split()})
START = len(WORDS)
"""The token that a decoded id begins with; the padding of prompts as well."""
FIRST_CODE = START + 1


@dataclass(frozen=True)
class Prompts:
    """A batch of prompts, padded on the right."""

    tokens_BT: Tensor
    """Vocabulary rows; START at padding and where a picture stands."""
    words_BT: Tensor
    """Number of the whole word, from 0; all tokens of an event share one (P5, sec. 3.3)."""
    items_BT: Tensor
    """Item row of a token that shows a picture, −1 elsewhere."""
    slots_BT: Tensor
    """Which of the event's pictures tokens it is, 0 elsewhere."""
    real_BT: Tensor
    """False at padding."""


def spell(text: str) -> Tensor:
    return torch.tensor([WORDS.index(word) for word in text.split()], dtype=torch.long)


def write_prompts(
    rows_BE: Tensor, lengths_B: Tensor, ids_IL: Tensor, template: int, visual_tokens: int = 0
) -> Prompts:
    """The template around each history: per event its id's tokens, then `visual_tokens` for its picture."""
    (batch, events), levels = rows_BE.shape, ids_IL.shape[1]
    size, device = levels + visual_tokens, rows_BE.device
    before, after = (spell(text).to(device) for text in TEMPLATES[template])
    number_S = torch.arange(size, device=device)
    pictures_S = number_S >= levels
    ids_BES = torch.nn.functional.pad(ids_IL[rows_BE], (0, visual_tokens), value=START)
    items_BES = torch.where(pictures_S, rows_BE[..., None], -1)
    slots_BES = (number_S - levels).clamp(min=0).expand(batch, events, size)
    there_BE = torch.arange(events, device=device) < lengths_B[:, None]
    words_BE = len(before) + torch.arange(events, device=device).expand(batch, events)
    behind_B = len(before) + lengths_B

    def around(inner_BES: Tensor, head: Tensor | int, tail: Tensor | int) -> Tensor:
        """[B, T] the columns of the words before, the events, the words behind."""
        parts = [torch.as_tensor(part, device=device) for part in (head, tail)]
        head_BW, tail_BW = (
            part.expand(batch, count) for part, count in zip(parts, (len(before), len(after)), strict=True)
        )
        return torch.cat([head_BW, inner_BES.flatten(1), tail_BW], dim=1)

    real_BT = around(there_BE[..., None].expand(-1, -1, size), torch.tensor(True), torch.tensor(True))
    # A short history leaves a gap before the words behind it: what is real moves up, padding goes last.
    order_BT = (~real_BT).to(torch.uint8).argsort(dim=1, stable=True)
    word_count_B1 = behind_B[:, None] + torch.arange(len(after), device=device)
    columns = (
        around(ids_BES, before, after).masked_fill(~real_BT, START),
        around(words_BE[..., None].expand(-1, -1, size), torch.arange(len(before)), word_count_B1),
        around(items_BES, -1, -1).masked_fill(~real_BT, -1),
        around(slots_BES, 0, 0),
        real_BT,
    )
    return Prompts(*(column.gather(1, order_BT) for column in columns))


def random_codes(num_items: int) -> IntArray:
    """[I, 2] a different pair for every item, drawn by torch's generator: two pieces of a random number.

    Numbers in the order of the log would put neighbours of a history next to each other, so that an id would
    tell what it is meant to be predicted from.
    """
    base = int(np.ceil(np.sqrt(num_items)))
    numbers = torch.randperm(base * base)[:num_items].numpy()
    return np.stack([numbers // base, numbers % base], axis=1)


@dataclass(frozen=True)
class PromptTargets:
    """N events to predict, each with the stretch of history that leads to it."""

    starts: IntArray
    """First event of the stretch."""
    lengths: IntArray
    """Events of the stretch, the target included."""


def training_targets(histories: Histories, max_events: int) -> PromptTargets:
    """Every event but each user's first, behind at most `max_events` before it."""
    places = np.arange(histories.num_events) - np.repeat(histories.offsets[:-1], histories.lengths)
    lengths = np.minimum(places, max_events)
    events = np.flatnonzero(places)
    return PromptTargets(events - lengths[events], lengths[events] + 1)
