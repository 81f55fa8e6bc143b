"""`UserSentence` -> `EncodedSentence`: one mechanism for words and for embedded values."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from unimp.core.caches import ByteBoundedCache
from unimp.data.histories import FloatArray
from unimp.sentence.parts import (
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
    UserSentence,
)
from unimp.sentence.vocabulary import ANSWER, END, MISSING, QUERY, START, UNRATED, Vocabulary

PLACES_BYTES = 16 * 2**20
"""Of the cached places of queries: their words may be anybody's."""
PLACE_OVERHEAD = 300
"""Estimated bytes of a cached place beside its numbers and words."""


class Kind(IntEnum):
    """What a position holds; a prediction's loss depends on the kind and the role of what it predicts."""

    FRAME = 0  # the start, the task's words, markers, queries: never a target
    ITEM = 1
    ATTRIBUTE = 2
    RATING = 3
    WORD = 4  # of an answer's text
    CHOICE = 5  # an item among candidates, or the end of choosing
    CODE = 6  # of a picture


@dataclass(frozen=True)
class QueryItem:
    """A query as an item without identity: known by its words and its picture alone."""

    text: FloatArray | None
    """[F] in the space of the items' text content."""
    picture: int
    """Row of the picture, -1 for none."""


@dataclass(frozen=True)
class EncodedSentence:
    """T positions. A position holds an item, or a bag of tokens (a bag of one when attributes are words)."""

    kinds: npt.NDArray[np.int8]
    """[T] a `Kind`."""
    roles: npt.NDArray[np.int8]
    """[T] a `Role`."""
    items: npt.NDArray[np.int64]
    """[T] item row; -1 at positions that hold tokens; -2 - g at the position of query item g."""
    pictures: npt.NDArray[np.int64]
    """[T] row of the picture that the position may see, -1 for none (mask M, `own`)."""
    sees: npt.NDArray[np.int64]
    """[T] how many of the latest pictures shown so far the position sees (mask M, `all`); 0: only its own."""
    tokens: npt.NDArray[np.int64]
    """[N] the bags, one after the other."""
    bag_sizes: npt.NDArray[np.int64]
    """[T] tokens per position, 0 at items."""
    predicted: npt.NDArray[np.bool_]
    """[N] False for tokens that are read only: the place of a picture's code."""
    query_items: tuple[QueryItem, ...] = ()
    candidates: tuple[tuple[int, ...], ...] = ()
    """Of every CHOICE position, in order: the item rows that were still to be chosen from."""
    history: int = 0
    """So many positions, from the first, tell the history."""
    earlier_pictures: tuple[int, ...] = ()
    """Rows of the pictures that positions before the first one show, oldest first (see `after`)."""

    def __len__(self) -> int:
        return len(self.kinds)

    def after(self, start: int) -> EncodedSentence:
        """The positions from `start` on, for a model that has read the others; `start` <= `history`."""
        first = int(self.bag_sizes[:start].sum())
        rest = replace(
            self,
            kinds=self.kinds[start:],
            roles=self.roles[start:],
            items=self.items[start:],
            pictures=self.pictures[start:],
            sees=self.sees[start:],
            tokens=self.tokens[first:],
            bag_sizes=self.bag_sizes[start:],
            predicted=self.predicted[first:],
            history=self.history - start,
        )
        return rest.following(self.pictures[:start])

    def following(self, pictures: npt.NDArray[np.int64]) -> EncodedSentence:
        """The same positions behind others, of which each shows one of `pictures` (-1: none)."""
        shown = tuple(pictures[pictures >= 0].tolist()) if self.sees.any() else ()
        return replace(self, earlier_pictures=shown) if shown else self


class Draft:
    """The positions of one sentence while it is encoded."""

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self.roles: list[int] = []
        self.items: list[int] = []
        self.blocks: list[int] = []
        self.bags: list[tuple[int, ...]] = []
        self.unread: list[int] = []
        """Tokens at the end of each bag that are no targets."""
        self.sees: list[int] = []
        self.shown: dict[int, int] = {}
        self.query_items: list[QueryItem] = []
        self.candidates: list[tuple[int, ...]] = []
        self.answering = 0

    def add(
        self, kind: Kind, role: Role, block: int, bag: tuple[int, ...], item: int = -1, unread: int = 0
    ) -> None:
        self.kinds.append(kind)
        self.roles.append(role)
        self.items.append(item)
        self.blocks.append(block)
        self.bags.append(bag)
        self.unread.append(unread)
        self.sees.append(self.answering)

    def done(self, history: int = 0) -> EncodedSentence:
        """`history`: positions that tell the history."""
        sizes = np.array([len(bag) for bag in self.bags], dtype=np.int64)
        predicted = np.ones(int(sizes.sum()), dtype=np.bool_)
        for end, unread in zip(np.cumsum(sizes).tolist(), self.unread, strict=True):
            predicted[end - unread : end] = False
        return EncodedSentence(
            np.array(self.kinds, dtype=np.int8),
            np.array(self.roles, dtype=np.int8),
            np.array(self.items, dtype=np.int64),
            np.array([self.shown.get(block, -1) for block in self.blocks], dtype=np.int64),
            np.array(self.sees, dtype=np.int64),
            np.array([token for bag in self.bags for token in bag], dtype=np.int64),
            sizes,
            predicted,
            tuple(self.query_items),
            tuple(self.candidates),
            history,
        )


class SentenceEncoder:
    """Encodes sentences with one vocabulary; `attributes` says whether a value's words share a position."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        attributes: Literal["words", "values"],
        project: Callable[[Sequence[str]], FloatArray] | None = None,
        *,
        answers_see_all: bool = True,
    ) -> None:
        """`project`: texts -> [N, F], where a query's words lie in the items' text content."""
        self.vocabulary = vocabulary
        self.attributes = attributes
        self.answers_see_all = answers_see_all
        self.project = project
        self._bags = lru_cache(maxsize=1_000_000)(self._text_bags)
        self.places: ByteBoundedCache[str, FloatArray] = ByteBoundedCache(PLACES_BYTES)
        """Query's words -> where `project` puts them."""
        self._places_lock = threading.Lock()

    def encode(self, sentence: UserSentence) -> EncodedSentence:
        draft = Draft()
        for part in sentence.parts[: sentence.history]:
            self._write(part, draft)
        history = len(draft.kinds)
        for part in sentence.parts[sentence.history :]:
            self._write(part, draft)
        return draft.done(history)

    def _write(self, part: Part, draft: Draft) -> None:
        vocabulary = self.vocabulary
        match part:
            case Image():
                if part.present:
                    draft.shown[part.block] = part.item_row
            case ItemMention():
                draft.answering = 0
                draft.add(Kind.ITEM, part.role, part.block, (), part.item_row)
            case Text():
                for bag in self._bags(part.field, part.words):
                    draft.add(Kind.ATTRIBUTE, part.role, part.block, bag)
            case Rating():
                token = vocabulary.rating(part.value)
                # `unrated` is none of the levels among which a rating is predicted: it is read only.
                role = Role.SHOWN if token == vocabulary.markers[UNRATED] else part.role
                draft.add(Kind.RATING, role, part.block, (token,))
            case Start():
                draft.add(Kind.FRAME, Role.SHOWN, part.block, (vocabulary.markers[START],))
            case TaskDescription():
                for bag in self._bags(None, part.words):
                    draft.add(Kind.FRAME, Role.SHOWN, part.block, bag)
            case Asking():
                self._ask(part, draft)
            case Answer():
                draft.answering = part.pictures if self.answers_see_all else 0
                bag = (vocabulary.markers[ANSWER],)
                draft.add(Kind.FRAME, Role.SHOWN, part.block, bag)
            case GeneratedText():
                self._speak(part, draft)
            case ChosenCandidates():
                self._choose(part, draft)
            case Codes():
                self._draw(part, draft)

    def _ask(self, part: Asking, draft: Draft) -> None:
        draft.answering = 0
        text = self._text_place(part.query.text) if self.project is not None else None
        draft.query_items.append(QueryItem(text, part.query.picture_row))
        marker = self.vocabulary.markers[QUERY]
        words = self.vocabulary.words(part.query.text)
        query_item = -1 - len(draft.query_items)
        if self.attributes == "values":
            draft.add(Kind.FRAME, Role.SHOWN, part.block, (marker, *words), query_item)
            return
        draft.add(Kind.FRAME, Role.SHOWN, part.block, (marker,), query_item)
        for word in words:
            draft.add(Kind.FRAME, Role.SHOWN, part.block, (word,))

    def _speak(self, part: GeneratedText, draft: Draft) -> None:
        tokens = self.vocabulary.words(part.words)
        for token in [*tokens, *([self.vocabulary.markers[END]] if part.complete else [])]:
            draft.add(Kind.WORD, Role.ANSWER, part.block, (token,))

    def _choose(self, part: ChosenCandidates, draft: Draft) -> None:
        left = list(part.candidates)
        for row in part.chosen:
            draft.candidates.append(tuple(left))
            draft.add(Kind.CHOICE, Role.ANSWER, part.block, (), row)
            left.remove(row)
        if part.complete:
            draft.candidates.append(tuple(left))
            draft.add(Kind.CHOICE, Role.ANSWER, part.block, (self.vocabulary.markers[END],), -1, 1)

    def _draw(self, part: Codes, draft: Draft) -> None:
        """Each code with the place of the next one; the answer's marker holds the first place.

        Every position holds the guidance as well, not only the question before it: words say little about a
        single code, and a small model would take long to learn to attend to the question.
        """
        vocabulary = self.vocabulary
        first = vocabulary.first_place
        draft.bags[-1] = (*draft.bags[-1], first)
        query_item = -1 - len(draft.query_items) if draft.query_items else -1
        draft.items[-1] = query_item
        for place, code in enumerate(part.codes, start=1):
            following = (first + place,) if place < vocabulary.num_places else ()
            bag = (vocabulary.first_code + code, *following)
            draft.add(Kind.CODE, Role.ANSWER, part.block, bag, query_item, len(following))

    def _text_bags(self, field: str | None, words: str | None) -> tuple[tuple[int, ...], ...]:
        """The field's marker and its words: each a position of its own, or all in one bag."""
        tokens = [] if field is None else [self.vocabulary.field(field)]
        tokens += [self.vocabulary.markers[MISSING]] if words is None else self.vocabulary.words(words)
        return (tuple(tokens),) if self.attributes == "values" else tuple((token,) for token in tokens)

    def _text_place(self, text: str) -> FloatArray:
        assert self.project is not None
        with self._places_lock:
            place = self.places.get(text)
        if place is None:
            place = self.project([text])[0]
            size = place.nbytes + sys.getsizeof(text) + PLACE_OVERHEAD
            with self._places_lock:
                self.places.put(text, place, size)
        return place
