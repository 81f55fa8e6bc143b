"""The parts of a user sentence. One format for every task, for training and for inference."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from unimp.answer import Query

NO_BLOCK = -1
"""`block` of a part that belongs to no item: the start, the task's words, the answer."""


class Role(IntEnum):
    """What a part is to the objective."""

    SHOWN = 0  # given, never predicted: candidates, the item that is asked about
    CONTEXT = 1  # the history, predicted as well: context reconstruction
    ANSWER = 2  # what the task asks for


@dataclass(frozen=True)
class Start:
    """[CLS]: the sentence begins."""

    block: int = NO_BLOCK


@dataclass(frozen=True)
class TaskDescription:
    """What is asked, in words (T of the paper's objective)."""

    words: str
    block: int = NO_BLOCK


@dataclass(frozen=True)
class ItemMention:
    """The item itself: one position whose vector is identity + content."""

    item_row: int
    block: int
    role: Role = Role.CONTEXT


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
    role: Role = Role.CONTEXT


@dataclass(frozen=True)
class Rating:
    """The rating this user gave; None when there was none."""

    value: float | None
    block: int
    role: Role = Role.CONTEXT


@dataclass(frozen=True)
class Asking:
    """A query or guidance: an item of which only some words and a picture are known."""

    query: Query
    block: int


@dataclass(frozen=True)
class Answer:
    """The model speaks from here; tokens of the answer may look at the pictures shown before it."""

    block: int = NO_BLOCK
    pictures: int = 24
    """So many of the latest ones."""


@dataclass(frozen=True)
class GeneratedText:
    """An answer in words, and its end."""

    words: str
    block: int = NO_BLOCK
    complete: bool = True
    """False: the end is not said, the text goes on."""


@dataclass(frozen=True)
class ChosenCandidates:
    """The chosen among candidates, best first, and the end of choosing."""

    candidates: tuple[int, ...]
    """Item rows."""
    chosen: tuple[int, ...]
    block: int = NO_BLOCK
    complete: bool = True
    """False: more may be chosen, the end is not said."""


@dataclass(frozen=True)
class Codes:
    """A picture as codes of the image tokenizer, row by row."""

    codes: tuple[int, ...]
    block: int = NO_BLOCK


Part = (
    Start
    | TaskDescription
    | ItemMention
    | Image
    | Text
    | Rating
    | Asking
    | Answer
    | GeneratedText
    | ChosenCandidates
    | Codes
)


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
    history: int = 0
    """So many parts, from the first, tell the history; what follows asks, or answers."""
