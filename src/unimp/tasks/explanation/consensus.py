"""The text that agrees most with what others said: minimum Bayes risk (Kumar & Byrne 2004).

Of the texts that a beam search finished, the likeliest need not be the one that shares most words with what a
user would write. Sentences of training about the item, and of any item, stand for what that might be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from unimp.tasks.context import TaskContext

WORD = re.compile(r"[^\W_]+")


class Consensus:
    """Chooses among finished texts about an item by their mean ROUGE-L with sentences of training."""

    def __init__(self, context: TaskContext, count: int) -> None:
        """count: sentences about the item, the latest, and as many about any item; fewer where there are."""
        self.context, self.count = context, count
        self._known: dict[int, list[list[str]]] = {}

    @cached_property
    def of_any_item(self) -> list[list[str]]:
        """The same ones for every item, drawn once."""
        return drawn([sentence for said in self.context.said.values() for sentence in said], self.count)

    def sentences(self, row: int) -> list[list[str]]:
        if row not in self._known:
            own = self.context.said.get(row, ())[-self.count :]
            self._known[row] = [words_of(sentence) for sentence in own] + self.of_any_item
        return self._known[row]

    def best(self, texts: Sequence[tuple[float, str]], row: int) -> str:
        """The text with the most agreement; of equals the one whose score, before it, is highest.

        texts: at least one.
        """
        known = self.sentences(row)
        return max(texts, key=lambda text: (agreement(words_of(text[1]), known), text[0]))[1]


def drawn(sentences: Sequence[str], count: int) -> list[list[str]]:
    """Words of `count` of the sentences, always the same ones, in their order."""
    chosen = np.random.default_rng(0).permutation(len(sentences))[:count]
    return [words_of(sentences[place]) for place in np.sort(chosen).tolist()]


def words_of(text: str) -> list[str]:
    return WORD.findall(text.lower())


def agreement(words: Sequence[str], sentences: Sequence[Sequence[str]]) -> float:
    """Mean F of ROUGE-L; 0 without sentences."""
    total = sum(rouge_l_of_words(words, sentence) for sentence in sentences)
    return total / max(1, len(sentences))


def rouge_l_of_words(one: Sequence[str], other: Sequence[str]) -> float:
    """2 L / (n + m) for the longest common subsequence L of n and m words; 0 where both are empty."""
    lengths = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for place, there in enumerate(other, start=1):
            before, lengths[place] = (
                lengths[place],
                before + 1 if word == there else max(lengths[place], lengths[place - 1]),
            )
    return 2.0 * lengths[-1] / max(1, len(one) + len(other))
