"""Capital letters for texts whose vocabulary has small ones: each word as training sentences spell it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

WORD = re.compile(r"[^\W\d_][\w'’-]*")


class Truecase:
    """Every word in its most frequent form within a sentence, of equals the first in the order of letters.

    The first word of a sentence says nothing of how it is spelled (Lita et al. 2003, without context).
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        forms: dict[str, Counter[str]] = defaultdict(Counter)
        for sentence in sentences:
            for word in WORD.findall(sentence)[1:]:
                forms[word.lower()][word] += 1
        self.forms = {
            small: min(counts, key=lambda form: (-counts[form], form)) for small, counts in forms.items()
        }

    def spelled(self, text: str) -> str:
        """`text` with each known word as it is spelled, `I` by itself, and a capital first."""
        text = WORD.sub(lambda found: self.form(found[0]), text)
        return text[:1].upper() + text[1:]

    def form(self, word: str) -> str:
        pronoun = word.lower().split("'")[0] == "i"
        return word.capitalize() if pronoun else self.forms.get(word.lower(), word)
