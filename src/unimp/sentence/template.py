"""The one template: from a history to a `UserSentence`, the same for training and inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, ClassVar, Literal

from pydantic import Field

from unimp.answer import Query
from unimp.core.config import Config
from unimp.core.errors import ConfigError, did_you_mean
from unimp.data.catalog import Catalog
from unimp.data.histories import Histories
from unimp.sentence.parts import (
    NO_BLOCK,
    Answer,
    Asking,
    ChosenCandidates,
    Codes,
    GeneratedText,
    Image,
    ItemMention,
    Part,
    Rating,
    Role,
    Start,
    TaskDescription,
    Text,
    Truncation,
    UserSentence,
)

LEAST_BLOCKS = 10_000
"""Items whose cut texts are cached at least; otherwise as many as twice the catalogue, so that the texts of
items that were replaced do not stay for ever."""


class SentenceConfig(Config):
    """Which parts of a history become sentence positions, and how many."""

    removed_keys: ClassVar[dict[str, Any]] = {"codes_hold_guidance": True}

    attributes: Literal["words", "values"] = "values"
    """`words`: every word is a position (the paper's way). `values`: one position per attribute."""
    fields: tuple[str, ...] | None = None
    """Attributes to write after each item, in this order; not given: all of the catalogue's. With an empty
    list an item is one position, whose vector carries the item's content."""
    budgets: dict[str, int] = Field(default_factory=dict)
    """Most words of an attribute, by its name; longer values are cut at the end, and counted."""
    default_budget: int = Field(16, ge=1)
    """Most words of an attribute that `budgets` does not name."""
    show_missing: bool = False
    """Write a position for a missing value as well; otherwise the attribute is left out."""
    ratings: bool = False
    """Write each item's rating after it."""
    max_items: int = Field(50, ge=1)
    """Most items of a sentence; the oldest items beyond them are dropped, and counted."""
    task_words: bool = True
    """Begin the sentence with the task description in words."""
    answers_see: Literal["all", "own"] = "all"
    """Mask M: which pictures the tokens of an answer attend to. `all` before it (the latest 24, or those of
    all candidates and the history's latest), or the latest item's `own`, as in the official code."""


@dataclass(frozen=True)
class HistoryEvent:
    """One event of a history, as the template needs it."""

    item_row: int
    rating: float | None = None
    event_row: int = -1
    """Its row in the interaction table; -1 when it is not in it."""


def events_of(histories: Histories, user: int, start: int = 0, stop: int | None = None) -> list[HistoryEvent]:
    """Events `start`:`stop` of a user as the template takes them."""
    first, end = int(histories.offsets[user]), int(histories.offsets[user + 1])
    chosen = slice(first + start, end if stop is None else first + stop)
    rows = histories.item_rows[chosen].tolist()
    ratings = histories.ratings[chosen].tolist()
    table_rows = histories.event_rows[chosen].tolist()
    return [
        HistoryEvent(row, None if rating != rating else rating, event_row)
        for row, rating, event_row in zip(rows, ratings, table_rows, strict=True)
    ]


def cut_to_budgets(
    fields: Sequence[str], config: SentenceConfig, texts: tuple[str | None, ...]
) -> tuple[tuple[tuple[str, str | None], ...], int]:
    """(field, kept words) of one item's texts, and how many words the budgets cut."""
    values: list[tuple[str, str | None]] = []
    cut = 0
    for field, text in zip(fields, texts, strict=True):
        words = (text or "").split()
        budget = config.budgets.get(field, config.default_budget)
        cut += max(len(words) - budget, 0)
        if words or config.show_missing:
            values.append((field, " ".join(words[:budget]) or None))
    return tuple(values), cut


class Template:
    """Writes sentences for one catalogue. Attribute texts are cut to their budgets once per item."""

    def __init__(self, catalog: Catalog, config: SentenceConfig) -> None:
        self.catalog, self.config = catalog, config
        names = [attribute.name for attribute in catalog.attributes]
        for field in [*(config.fields or ()), *config.budgets]:
            if field not in names:
                raise ConfigError(f"recipe: sentence: no attribute {field!r}{did_you_mean(field, names)}")
        self.fields = tuple(names) if config.fields is None else config.fields
        self.references = catalog.picture_references
        self.texts = [catalog.texts[field] for field in self.fields]
        cut = partial(cut_to_budgets, self.fields, config)
        self._cut = lru_cache(maxsize=max(LEAST_BLOCKS, 2 * len(catalog)))(cut)
        """By the texts of the fields, so that templates over changed catalogues can share it."""

    def with_catalog(self, catalog: Catalog) -> Template:
        """The template over another version of its catalogue."""
        template = Template(catalog, self.config)
        template._cut = self._cut
        return template

    @cached_property
    def has_picture(self) -> list[bool]:
        """[I]."""
        return [reference is not None for reference in self.references]

    def attributes(self, row: int) -> tuple[tuple[tuple[str, str | None], ...], int]:
        """(field, kept words) of one item, and how many words its budgets cut."""
        return self._cut(tuple([values[row] for values in self.texts]))

    def begin(self, task: str) -> Writer:
        """A sentence that opens with [CLS] and the task's words."""
        writer = Writer(self)
        writer.parts.append(Start())
        if self.config.task_words:
            writer.parts.append(TaskDescription(task))
        return writer

    def history(
        self,
        events: Sequence[HistoryEvent],
        task: str,
        role: Role = Role.CONTEXT,
        *,
        opening: bool = True,
    ) -> Writer:
        """[CLS] T i_1 … i_n, each item as mention, picture, attributes and, where asked for, rating.

        The oldest items beyond the budget are dropped and counted. `opening=False` leaves out [CLS] T, for a
        model that has read them, and earlier events, before.
        """
        kept = events[-self.config.max_items :]
        writer = self.begin(task) if opening else Writer(self)
        writer.cut_items = len(events) - len(kept)
        for event in kept:
            writer.item(event.item_row, role)
            if self.config.ratings:
                writer.rating(event.rating)
        return writer.told()


class Writer:
    """Writes one sentence, part by part, in the order of the calls."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.parts: list[Part] = []
        self.block = NO_BLOCK
        """Of the item written last."""
        self.history = 0
        self.cut_items = 0
        self.cut_words = 0

    def item(self, row: int, role: Role = Role.CONTEXT) -> Writer:
        """An item: mention, picture, attributes."""
        self.block += 1
        values, cut = self.template.attributes(row)
        self.cut_words += cut
        self.parts.append(ItemMention(row, self.block, role))
        self.parts.append(Image(row, self.block, self.template.references[row] is not None))
        told = min(role, Role.CONTEXT)
        self.parts.extend(Text(field, words, self.block, told) for field, words in values)
        return self

    def told(self) -> Writer:
        """The history ends here."""
        self.history = len(self.parts)
        return self

    def rating(self, value: float | None, role: Role = Role.CONTEXT) -> Writer:
        """The rating of the item written last."""
        self.parts.append(Rating(value, self.block, role))
        return self

    def asking(self, query: Query) -> Writer:
        """A query, with its picture where it has one."""
        self.block += 1
        if query.picture_row >= 0:
            self.parts.append(Image(query.picture_row, self.block, present=True))
        self.parts.append(Asking(query, self.block))
        return self

    def answer(self, pictures: int = Answer.pictures) -> Writer:
        """From here the model speaks, with the latest `pictures` before its eyes."""
        self.parts.append(Answer(self.block, pictures))
        return self

    def speech(self, words: str, *, complete: bool = True) -> Writer:
        self.parts.append(GeneratedText(words, self.block, complete))
        return self

    def choice(
        self, candidates: Sequence[int], chosen: Sequence[int] = (), *, complete: bool = True
    ) -> Writer:
        self.parts.append(ChosenCandidates(tuple(candidates), tuple(chosen), self.block, complete))
        return self

    def codes(self, codes: Sequence[int]) -> Writer:
        self.parts.append(Codes(tuple(codes), self.block))
        return self

    def done(self) -> UserSentence:
        return UserSentence(tuple(self.parts), Truncation(self.cut_items, self.cut_words), self.history)
