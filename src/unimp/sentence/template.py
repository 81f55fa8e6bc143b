"""The one template: from a history to a `UserSentence`, the same for training and inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from unimp.config import Config
from unimp.data.catalog import Catalog
from unimp.errors import ConfigError, did_you_mean
from unimp.sentence.parts import (
    Answer,
    Image,
    ItemMention,
    Part,
    Rating,
    Start,
    Task,
    Text,
    Truncation,
    UserSentence,
)


class SentenceConfig(Config):
    """What of a history is written into the sentence, and how long it may get."""

    attributes: Literal["words", "values"] = "values"
    """`words`: every word is a position (the paper's way). `values`: one position per attribute."""
    fields: tuple[str, ...] | None = None
    """Attributes to write after each item, in this order; none given: all of the catalogue's. An empty list
    leaves them to the item's own vector, which carries its content anyway (one position per item)."""
    budgets: dict[str, int] = Field(default_factory=dict)
    """Most words kept of a field; the rest is cut at the end and counted."""
    default_budget: int = Field(16, ge=1)
    """Budget of a field that `budgets` does not name."""
    show_missing: bool = False
    """Write a position for a missing value as well; otherwise the field is left out."""
    ratings: bool = False
    """Write each item's rating after it."""
    max_items: int = Field(50, ge=1)
    """Longest history in a sentence; the oldest items beyond it are dropped and counted."""
    task_words: bool = True
    """Tell the task in words at the start of the sentence."""


@dataclass(frozen=True)
class Event:
    """One event of a history, as the template needs it."""

    item_row: int
    rating: float | None = None


class Template:
    """Writes sentences for one catalogue. Attribute texts are cut to their budgets once per item."""

    def __init__(self, catalog: Catalog, config: SentenceConfig) -> None:
        self.config = config
        names = [attribute.name for attribute in catalog.attributes]
        for field in [*(config.fields or ()), *config.budgets]:
            if field not in names:
                raise ConfigError(f"recipe: sentence: no attribute {field!r}{did_you_mean(field, names)}")
        self.fields = tuple(names) if config.fields is None else config.fields
        self.has_picture = [reference is not None for reference in catalog.picture_references]
        self.texts = {field: catalog.texts[field] for field in self.fields}
        self._blocks: dict[int, tuple[tuple[tuple[str, str | None], ...], int]] = {}

    def attributes(self, row: int) -> tuple[tuple[tuple[str, str | None], ...], int]:
        """(field, kept words) of one item, and how many words its budgets cut."""
        if row not in self._blocks:
            values: list[tuple[str, str | None]] = []
            cut = 0
            for field in self.fields:
                words = (self.texts[field][row] or "").split()
                budget = self.config.budgets.get(field, self.config.default_budget)
                cut += max(len(words) - budget, 0)
                if words or self.config.show_missing:
                    values.append((field, " ".join(words[:budget]) or None))
            self._blocks[row] = (tuple(values), cut)
        return self._blocks[row]

    def history(self, events: Sequence[Event], task: str, *, answer: bool = False) -> UserSentence:
        """[CLS] T i_1 … i_n, each item as mention, picture, attributes, rating; then perhaps an answer."""
        kept = events[-self.config.max_items :]
        parts: list[Part] = [Start()]
        if self.config.task_words:
            parts.append(Task(task))
        cut_words = 0
        for block, event in enumerate(kept):
            row = event.item_row
            parts.append(ItemMention(row, block))
            parts.append(Image(row, block, self.has_picture[row]))
            values, cut = self.attributes(row)
            cut_words += cut
            parts.extend(Text(field, words, block) for field, words in values)
            if self.config.ratings:
                parts.append(Rating(event.rating, block))
        if answer:
            parts.append(Answer())
        return UserSentence(tuple(parts), Truncation(len(events) - len(kept), cut_words))
