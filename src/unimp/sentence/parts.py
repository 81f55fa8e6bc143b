"""The parts of a user sentence. One format for every task, for training and for inference."""

from __future__ import annotations

from dataclasses import dataclass

NO_BLOCK = -1
"""`block` of a part that belongs to no item: the start, the task's words, the answer."""


@dataclass(frozen=True)
class Start:
    """[CLS]: the sentence begins."""

    block: int = NO_BLOCK


@dataclass(frozen=True)
class Task:
    """What is asked, in words (T of the paper's objective)."""

    words: str
    block: int = NO_BLOCK


@dataclass(frozen=True)
class ItemMention:
    """The item itself: one position whose vector is identity + content, and one target of the model."""

    item_row: int
    block: int


@dataclass(frozen=True)
class Image:
    """The item's picture is shown here. Takes no position: tokens reach it by cross-attention."""

    item_row: int
    block: int
    present: bool
    """False: the catalogue has no picture for it; nothing is shown in its place."""


@dataclass(frozen=True)
class Text:
    """One attribute. `words` is None when the value is missing, which the model is told."""

    field: str
    words: str | None
    block: int


@dataclass(frozen=True)
class Rating:
    """The rating this user gave; None when there was none."""

    value: float | None
    block: int


@dataclass(frozen=True)
class Answer:
    """The model speaks from here; tokens from here on may look at every picture shown."""

    block: int = NO_BLOCK


Part = Start | Task | ItemMention | Image | Text | Rating | Answer


@dataclass(frozen=True)
class Truncation:
    """What did not fit, counted."""

    items: int = 0
    """Oldest items dropped whole."""
    words: int = 0
    """Words beyond their field's budget."""

    def __add__(self, other: Truncation) -> Truncation:
        return Truncation(self.items + other.items, self.words + other.words)


@dataclass(frozen=True)
class UserSentence:
    """u_n of the paper: {[CLS], i_1, …, i_n} with the task's words, as ordered parts."""

    parts: tuple[Part, ...]
    truncation: Truncation = Truncation()
