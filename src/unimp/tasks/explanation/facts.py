"""`Facts`: what may be said of an item: its own aspects, in words that were said of it before."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

from unimp.data.reviews import named_aspects
from unimp.sentence.vocabulary import END, Vocabulary
from unimp.tasks.context import TaskContext
from unimp.tasks.explanation.phrases import ItemPhrases
from unimp.tasks.explanation.truecase import Truecase


class Facts:
    """Made from training sentences and the catalogue, item by item, on first use."""

    def __init__(self, context: TaskContext, vocabulary: Vocabulary) -> None:
        self.context, self.vocabulary = context, vocabulary
        self.phrases = ItemPhrases(context, vocabulary)
        self._beginnings: dict[int, tuple[frozenset[str], list[int], dict[int, float]]] = {}

    def beginnings(self, row: int) -> tuple[list[int], dict[int, float]]:
        """First tokens of aspects: those with which no aspect of this item begins, and those of its own with
        how often training sentences about it name the aspect, 1 for the one that they name most."""
        aspects = self.context.aspects[row]
        known = self._beginnings.get(row)
        if known is None or known[0] != aspects:
            shares = self.shares(row)
            own: dict[int, float] = {}
            for name in sorted(aspects):
                token = self.first_token(name)
                own[token] = max(own.get(token, 0.0), shares.get(name, 0.0) if shares else 1.0)
            known = self._beginnings[row] = (aspects, sorted(self.all_beginnings - own.keys()), own)
        return known[1:]

    def shares(self, row: int) -> dict[str, float]:
        """How often what was said about the item names each aspect, the most often named 1."""
        said = self.context.said.get(row, ())
        counts = Counter(name for text in said for name in named_aspects(text, self.context.lexicon))
        most = max(counts.values(), default=1)
        return {name: count / most for name, count in counts.items()}

    @cached_property
    def truecase(self) -> Truecase:
        """How training sentences spell words."""
        return Truecase(sentence for said in self.context.said.values() for sentence in said)

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
