"""`Facts`: what may be said of an item: its own aspects, in words that were said of it before."""

from __future__ import annotations

from functools import cached_property

from unimp.data.reviews import named_aspects
from unimp.sentence.vocabulary import END, Vocabulary
from unimp.tasks.context import TaskContext
from unimp.tasks.explanation.phrases import ItemPhrases


class Facts:
    """Made from training sentences and the catalogue, item by item, on first use."""

    def __init__(self, context: TaskContext, vocabulary: Vocabulary) -> None:
        self.context, self.vocabulary = context, vocabulary
        self.phrases = ItemPhrases(context, vocabulary)
        self._beginnings: dict[frozenset[str], tuple[list[int], list[int]]] = {}

    def beginnings(self, row: int) -> tuple[list[int], list[int]]:
        """First tokens of aspects: those with which no aspect of this item begins, and those of its own."""
        aspects = self.context.aspects[row]
        if aspects not in self._beginnings:
            own = {self.first_token(name) for name in aspects}
            self._beginnings[aspects] = (sorted(self.all_beginnings - own), sorted(own))
        return self._beginnings[aspects]

    @cached_property
    def all_beginnings(self) -> set[int]:
        """First tokens of all aspects."""
        return {self.first_token(name) for name in self.context.lexicon.phrases.values()}

    def first_token(self, aspect: str) -> int:
        return self.vocabulary.words(aspect)[0]

    def untrue(self, tokens: tuple[int, ...], token: int, row: int) -> bool:
        """Whether the words that `token` completes name an aspect that is none of the item's own."""
        vocabulary = self.vocabulary
        if not tokens or not (token == vocabulary.markers[END] or vocabulary.begins_word(token)):
            return False
        named = named_aspects(vocabulary.text(tokens), self.context.lexicon)
        return any(name not in self.context.aspects[row] for name in named)
