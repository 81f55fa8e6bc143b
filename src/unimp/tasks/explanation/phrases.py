"""What was said about an item before, as runs of tokens: the closed form beside the model's next word."""

from __future__ import annotations

from collections import Counter, defaultdict

from unimp.sentence.vocabulary import END, Vocabulary
from unimp.tasks.context import TaskContext

LONGEST = 3
"""Most tokens of context; the longest that was said before counts (Brants et al. 2007, without scaling)."""

Followers = dict[tuple[int, ...], Counter[int]]


class ItemPhrases:
    """p(next token | last tokens, item) from the training sentences about the item."""

    def __init__(self, context: TaskContext, vocabulary: Vocabulary) -> None:
        self.context, self.vocabulary = context, vocabulary
        self._followers: dict[int, Followers] = {}

    def next(self, row: int, tokens: tuple[int, ...]) -> dict[int, float]:
        """The tokens that followed the longest known ending of `tokens`; empty when nothing was said."""
        followers = self.followers(row)
        for length in range(min(LONGEST, len(tokens)), -1, -1):
            found = followers.get(tokens[len(tokens) - length :])
            if found:
                total = found.total()
                return {token: count / total for token, count in found.items()}
        return {}

    def followers(self, row: int) -> Followers:
        if row not in self._followers:
            found: Followers = defaultdict(Counter)
            end = self.vocabulary.markers[END]
            for sentence in self.context.said.get(row, ()):
                tokens = [*self.vocabulary.words(sentence), end]
                for place, token in enumerate(tokens):
                    for length in range(min(LONGEST, place) + 1):
                        found[tuple(tokens[place - length : place])][token] += 1
            self._followers[row] = dict(found)
        return self._followers[row]
