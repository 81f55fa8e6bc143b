"""The explanation sentence of a review, and the aspects of items that reviews name.

The rule, the same for every dataset: clean the text, split it into sentences, drop those that do not
read well alone (`review_sentences.py`) or have not 4 to 20 words, take the one that names most aspects of
a lexicon that training reviews gave, the earliest of equals; if none is left, the summary if it has two
words; else none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from pydantic import Field

from unimp.core.config import Config
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.data.review_sentences import (
    TOKEN,
    clean_text,
    reads_well,
    split_sentences,
    tidy,
    tokens_of,
    usable_summary,
)
from unimp.data.review_words import FUNCTION_WORDS, OPINION_WORDS

MIN_WORDS, MAX_WORDS = 4, 20


class AspectConfig(Config):
    """Which words of reviews count as aspects."""

    min_reviews: int = Field(10, ge=2)
    """Training reviews that must name an aspect."""
    max_share: float = Field(0.25, gt=0, le=1)
    """Largest share of training reviews that may name it; a word of more reviews says nothing."""
    min_gathering: float = Field(2.0, gt=0)
    """How many times likelier than any two reviews two that name it must be to speak of the same item (less
    two standard errors): words that belong to things gather at items, those of reviewing spread evenly."""
    max_rating_shift: float = Field(0.5, gt=0)
    """Standard deviations by which the mean rating of its reviews may differ from that of all; past that it
    judges rather than names."""


@dataclass(frozen=True)
class Reviews:
    """The R written reviews of some histories."""

    users: IntArray
    """[R] positions in the histories."""
    item_rows: IntArray
    """[R]."""
    ratings: FloatArray
    """[R] NaN where there is none."""
    texts: tuple[str, ...]
    """[R] empty where only a summary was written."""
    summaries: tuple[str, ...]
    """[R] empty where there is none."""

    def __len__(self) -> int:
        return len(self.texts)


def reviews_of(histories: Histories, events: pl.DataFrame) -> Reviews:
    """What the users of `histories` wrote, in the order of their events; `events` is the whole table."""
    written = events.select(pl.col("review").fill_null(""), pl.col("summary").fill_null(""))
    told = (written["review"].str.len_chars() + written["summary"].str.len_chars()).to_numpy() > 0
    kept = np.flatnonzero((histories.event_rows >= 0) & told[np.maximum(histories.event_rows, 0)])
    rows = histories.event_rows[kept]
    return Reviews(
        histories.owners()[kept],
        histories.item_rows[kept],
        histories.ratings[kept],
        tuple(written["review"].gather(rows).to_list()),
        tuple(written["summary"].gather(rows).to_list()),
    )


@dataclass(frozen=True)
class AspectLexicon:
    """What one can name about an item."""

    phrases: dict[tuple[str, ...], str]
    """Words in a row -> the aspect as it is written, in lower case."""

    @cached_property
    def longest(self) -> int:
        return max(map(len, self.phrases), default=0)

    def __len__(self) -> int:
        return len(self.phrases)

    def __contains__(self, text: str) -> bool:
        return tuple(tokens_of(text)) in self.phrases


def named_aspects(text: str, lexicon: AspectLexicon) -> tuple[str, ...]:
    """The different aspects that a text names, in its order; the longest phrase at each place counts."""
    tokens, found, place = tokens_of(text), dict[str, None](), 0
    while place < len(tokens):
        for width in range(min(lexicon.longest, len(tokens) - place), 0, -1):
            aspect = lexicon.phrases.get(tuple(tokens[place : place + width]))
            if aspect is not None:
                found[aspect] = None
                place += width - 1
                break
        place += 1
    return tuple(found)


def fit_lexicon(reviews: Reviews, catalog: Catalog, config: AspectConfig | None = None) -> AspectLexicon:
    """What `reviews` (pass training ones) name of items, and every category value of the catalogue."""
    documents = [set(filter(is_content, tokens_of(clean_text(text)))) for text in reviews.texts]
    words = frequent_words(documents, reviews, config or AspectConfig())
    phrases: dict[tuple[str, ...], str] = {(word,): word for word in words}
    for value in category_values(catalog):
        tokens = tuple(tokens_of(value))
        if any(map(is_content, tokens)):
            phrases[tokens] = value
    return AspectLexicon(phrases)


def is_content(token: str) -> bool:
    """Whether a word may name something."""
    return (
        len(token) > 1
        and any(letter.isalpha() for letter in token)
        and not token.endswith("'s")
        and token not in FUNCTION_WORDS
        and token not in OPINION_WORDS
    )


def category_values(catalog: Catalog) -> list[str]:
    """Every value of the categorical attributes once, in lower case and sorted."""
    values: set[str] = set()
    for attribute in catalog.attributes:
        column = catalog.items[attribute.name].drop_nulls().to_list()
        if attribute.kind == "category":
            values.update(column)
        elif attribute.kind == "categories":
            values.update(value for row in column for value in row if value is not None)
    return sorted({value.strip().lower() for value in values})


def frequent_words(documents: Sequence[set[str]], reviews: Reviews, config: AspectConfig) -> list[str]:
    """The words that pass every bound of `config`, sorted. documents: the words of each review."""
    counts = Counter(word for words in documents for word in words)
    limit = config.max_share * len(documents)
    owners: dict[str, list[int]] = {
        word: [] for word, count in sorted(counts.items()) if config.min_reviews <= count <= limit
    }
    for review, words in enumerate(documents):
        for word in words & owners.keys():
            owners[word].append(review)
    expected = item_pairs(reviews.item_rows) / max(1, len(documents) * (len(documents) - 1) // 2)
    mean, spread = mean_and_spread(reviews.ratings)
    chosen = []
    for word, rows in owners.items():
        pairs = item_pairs(reviews.item_rows[rows])
        gathered = (
            pairs - 2.0 * pairs**0.5 >= config.min_gathering * expected * len(rows) * (len(rows) - 1) / 2
        )
        shift = abs(mean_and_spread(reviews.ratings[rows])[0] - mean)
        if gathered and shift <= config.max_rating_shift * spread + 1e-6:
            chosen.append(word)
    return chosen


def item_pairs(item_rows: IntArray) -> float:
    """How many pairs of reviews are of one item."""
    counts = np.unique(item_rows, return_counts=True)[1]
    return float((counts * (counts - 1)).sum() / 2)


def mean_and_spread(ratings: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation of the known ratings, zeros when there is none."""
    known = ratings[~np.isnan(ratings)]
    return (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)


def pick_sentence(review: str | None, summary: str | None, lexicon: AspectLexicon) -> str | None:
    """The sentence of a review that explains it best by the rule above; None when it has none."""
    best, most = None, -1
    for sentence in map(tidy, split_sentences(clean_text(review or ""))):
        if not MIN_WORDS <= len(TOKEN.findall(sentence)) <= MAX_WORDS or not reads_well(sentence):
            continue
        named = len(named_aspects(sentence, lexicon))
        if named > most:
            best, most = sentence, named
    return best if best is not None else usable_summary(summary)


def item_aspects(
    histories: Histories, events: pl.DataFrame, lexicon: AspectLexicon, catalog: Catalog
) -> list[frozenset[str]]:
    """[I] what the reviews in `histories` (pass training ones) and the item's own attributes name of it.

    A word in the lexicon both with and without a final s is named in both forms.
    """
    reviews = reviews_of(histories, events)
    found: list[set[str]] = [set() for _ in range(len(catalog))]
    for attribute in catalog.attributes:
        for row, text in enumerate(catalog.texts[attribute.name]):
            if text is not None and attribute.kind != "number":
                found[row] |= set(named_aspects(text, lexicon))
    for row, review, summary in zip(
        reviews.item_rows.tolist(), reviews.texts, reviews.summaries, strict=True
    ):
        found[row] |= set(named_aspects(clean_text(review), lexicon))
        found[row] |= set(named_aspects(clean_text(summary), lexicon))
    known = set(lexicon.phrases.values())
    return [
        frozenset(names | {twin for name in names if (twin := other_number(name)) in known})
        for names in found
    ]


def other_number(aspect: str) -> str:
    """`string` for `strings`, and the other way round."""
    return aspect[:-1] if aspect.endswith("s") else aspect + "s"
