"""`UserSentence` -> `EncodedSentence`: one mechanism for words and for embedded values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from unimp.encode.vocabulary import ANSWER, MISSING, START, Vocabulary
from unimp.sentence.parts import Answer, Image, ItemMention, Part, Rating, Start, Task, Text, UserSentence


class Kind(IntEnum):
    """What a position holds; a position's loss weight depends on the kind that it has to predict."""

    FRAME = 0  # the start, the task's words, the answer marker: never a target
    ITEM = 1
    ATTRIBUTE = 2
    RATING = 3
    ANSWER = 4  # an answer's text


@dataclass(frozen=True)
class EncodedSentence:
    """T positions. A position holds an item, or a bag of tokens (a bag of one when attributes are words)."""

    kinds: npt.NDArray[np.int8]
    """[T] a `Kind`."""
    items: npt.NDArray[np.int64]
    """[T] item row, -1 at positions that hold tokens."""
    pictures: npt.NDArray[np.int64]
    """[T] item row whose picture the position may see, -1 for none (mask M, `own`)."""
    sees_all: npt.NDArray[np.bool_]
    """[T] True where the position sees every picture shown (mask M, `all`)."""
    tokens: npt.NDArray[np.int64]
    """[N] the bags, one after the other."""
    bag_sizes: npt.NDArray[np.int64]
    """[T] tokens per position, 0 at items."""

    def __len__(self) -> int:
        return len(self.kinds)


class SentenceEncoder:
    """Encodes sentences with one vocabulary; `attributes` says whether a value's words share a position."""

    def __init__(self, vocabulary: Vocabulary, attributes: Literal["words", "values"]) -> None:
        self.vocabulary = vocabulary
        self.attributes = attributes
        self._bags = lru_cache(maxsize=1_000_000)(self._text_bags)

    def encode(self, sentence: UserSentence) -> EncodedSentence:
        kinds: list[int] = []
        items: list[int] = []
        blocks: list[int] = []
        bags: list[tuple[int, ...]] = []
        shown: dict[int, int] = {}
        answering = False
        sees_all: list[bool] = []
        for part in sentence.parts:
            if isinstance(part, Image):
                if part.present:
                    shown[part.block] = part.item_row
                continue
            answering = answering or isinstance(part, Answer)
            kind, row, part_bags = self._positions(part)
            for bag in part_bags:
                kinds.append(kind)
                items.append(row)
                blocks.append(part.block)
                bags.append(bag)
                sees_all.append(answering)
        return EncodedSentence(
            np.array(kinds, dtype=np.int8),
            np.array(items, dtype=np.int64),
            np.array([shown.get(block, -1) for block in blocks], dtype=np.int64),
            np.array(sees_all, dtype=np.bool_),
            np.array([token for bag in bags for token in bag], dtype=np.int64),
            np.array([len(bag) for bag in bags], dtype=np.int64),
        )

    def _positions(self, part: Part) -> tuple[Kind, int, tuple[tuple[int, ...], ...]]:
        vocabulary = self.vocabulary
        match part:
            case ItemMention():
                return Kind.ITEM, part.item_row, ((),)
            case Text():
                return Kind.ATTRIBUTE, -1, self._bags(part.field, part.words)
            case Rating():
                return Kind.RATING, -1, ((vocabulary.rating(part.value),),)
            case Task():
                return Kind.FRAME, -1, self._bags(None, part.words)
            case Answer():
                return Kind.FRAME, -1, ((vocabulary.markers[ANSWER],),)
            case Start():
                return Kind.FRAME, -1, ((vocabulary.markers[START],),)
            case Image():
                raise AssertionError("pictures take no position")

    def _text_bags(self, field: str | None, words: str | None) -> tuple[tuple[int, ...], ...]:
        """The field's marker and its words: each a position of its own, or all in one bag."""
        tokens = [] if field is None else [self.vocabulary.field(field)]
        tokens += [self.vocabulary.markers[MISSING]] if words is None else self.vocabulary.words(words)
        return (tuple(tokens),) if self.attributes == "values" else tuple((token,) for token in tokens)
