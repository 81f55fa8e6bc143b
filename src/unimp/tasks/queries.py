"""Queries for training and judging search: from attributes that items share, and from logged words.

The rule. A *made* query holds one to three category values of its item, each of another attribute and each
shared by at least `MIN_ITEMS` items; never its title, free text or numbers. A *logged* query is what a user
typed or tagged before meeting the item; it is left out when one of its words stands in the title of no
other item than this one. A *picture* query shows another item that satisfies the made query, never the
item itself.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from unimp.answer import Query
from unimp.core.errors import ConfigError, did_you_mean
from unimp.data.catalog import Catalog
from unimp.data.histories import IntArray
from unimp.data.review_sentences import tokens_of

WORD = re.compile(r"[^\W_]+")
MIN_ITEMS = 5
"""Items that must share a value before it may stand in a query."""
MOST_VALUES = 3
LOGGED_SHARE = 0.6
"""How often a logged query is used where the item has one."""
PICTURE_SHARE, BOTH_SHARE = 0.15, 0.15
"""How often a query is a picture alone, or words and a picture."""


@dataclass(frozen=True)
class Posed:
    """A query, and all items that satisfy it."""

    query: Query
    positives: IntArray | None
    """Item rows in rising order; None: a logged query, only its user's item is known to satisfy it."""


class QueryMaker:
    """Poses queries for the items of one catalogue."""

    def __init__(self, catalog: Catalog, logged: pl.DataFrame | None = None) -> None:
        categories = [a.name for a in catalog.attributes if a.kind in {"category", "categories"}]
        self.fields = [name for name in categories if name != catalog.title]
        self.has_picture = np.array([name is not None for name in catalog.picture_references])
        self.members: dict[tuple[str, str], IntArray] = {}
        """(attribute, value) -> rows of the items that have it, in rising order."""
        self.values: list[list[tuple[str, str]]] = [[] for _ in range(len(catalog))]
        """[I] the values of each item that may stand in a query."""
        for field in self.fields:
            self._index(catalog, field)
        self.catalog, self.table = catalog, logged

    @cached_property
    def logged(self) -> dict[tuple[str, int], list[str]]:
        """What users typed or tagged, by the rule above."""
        return logged_queries(self.catalog, self.table)

    @cached_property
    def spoken(self) -> list[tuple[str, str, str]]:
        """(attribute, value, its words as `spaced` writes them) of every value that has a word."""
        written = ((field, value, spaced(value)) for field, value in self.members)
        return [(field, value, words) for field, value, words in written if words.strip()]

    def _index(self, catalog: Catalog, field: str) -> None:
        owners: dict[str, list[int]] = defaultdict(list)
        for row, value in enumerate(catalog.items[field].to_list()):
            for text in dict.fromkeys(value if isinstance(value, list) else [value]):
                if text is not None and text.strip():
                    owners[text.strip()].append(row)
        for value, rows in owners.items():
            if MIN_ITEMS <= len(rows) < len(catalog):
                self.members[field, value] = np.array(rows, dtype=np.int64)
                for row in rows:
                    self.values[row].append((field, value))

    def pose(self, row: int, user: str, rng: np.random.Generator) -> Posed | None:
        """A query that a user who will choose item `row` might enter; None when no query fits the item."""
        texts = self.logged.get((user, row))
        if texts and rng.random() < LOGGED_SHARE:
            return Posed(Query(texts[int(rng.integers(len(texts)))]), None)
        values = self.choose_values(row, rng)
        if not values:
            return Posed(Query(texts[0]), None) if texts else None
        positives = self.satisfying(values)
        query = Query(" ".join(value for _, value in values))
        turn = rng.random()
        if turn < PICTURE_SHARE + BOTH_SHARE:
            others = positives[self.has_picture[positives] & (positives != row)]
            if len(others):
                shown = int(others[rng.integers(len(others))])
                query = Query("" if turn < PICTURE_SHARE else query.text, shown)
        return Posed(query, positives)

    def choose_values(self, row: int, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Up to three of the item's values, each of another attribute, in the catalogue's order."""
        known = self.values[row]
        if not known:
            return []
        wanted = int(rng.integers(1, MOST_VALUES + 1))
        chosen: dict[str, tuple[str, str]] = {}
        for place in rng.permutation(len(known)).tolist():
            field, value = known[place]
            if field not in chosen and value.lower() not in {word.lower() for _, word in chosen.values()}:
                chosen[field] = (field, value)
            if len(chosen) == wanted:
                break
        return [chosen[field] for field in self.fields if field in chosen]

    def check(self, field: str) -> None:
        """ConfigError names an unknown attribute and what is nearest."""
        if field not in self.fields:
            raise ConfigError(f"attribute {field!r}: unknown{did_you_mean(field, self.fields)}")

    def known(self, field: str, value: str) -> str:
        """A value as the catalogue writes it; ConfigError names what is unknown and what is nearest."""
        self.check(field)
        spelled = {text.lower(): text for name, text in self.members if name == field}
        if value.lower() not in spelled:
            raise ConfigError(f"{field}: no item has {value!r}{did_you_mean(value.lower(), spelled)}")
        return spelled[value.lower()]

    def satisfying(self, values: list[tuple[str, str]]) -> IntArray:
        """Rows of the items that have all `values`."""
        rows = self.members[values[0]]
        for value in values[1:]:
            rows = np.intersect1d(rows, self.members[value], assume_unique=True)
        return rows

    def likes_of(self, row: int) -> IntArray:
        """Rows of the items in the same category: the first category attribute that says one."""
        return self.members[self.values[row][0]] if self.values[row] else np.empty(0, dtype=np.int64)


def spaced(text: str) -> str:
    """Small letters, one space before, between and behind the words."""
    return f" {' '.join(WORD.findall(text.lower()))} "


def logged_queries(catalog: Catalog, table: pl.DataFrame | None) -> dict[tuple[str, int], list[str]]:
    """(user, item row) -> that user's queries for it, by the rule above."""
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    if table is None:
        return found
    titles = [set(tokens_of(catalog.label(row))) for row in range(len(catalog))]
    spread = Counter(word for words in titles for word in words)
    named = table.drop_nulls(["item_row", "user_id", "text"])
    for user, row, text in zip(named["user_id"], named["item_row"], named["text"], strict=True):
        words = set(tokens_of(text))
        if words and not any(spread[word] == 1 for word in words & titles[row]):
            found[user, row].append(text.strip())
    return found
