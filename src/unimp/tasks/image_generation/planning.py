"""What a picture shall show where the words leave it open: what the user's own search expects.

A history says little to codes, words say much. So taste is first put into words: the items that the model's
search finds for history and words vote, among those that have what the words name, for the value of each
attribute that was left open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np

from unimp.answer import Query
from unimp.data.histories import FloatArray, Histories
from unimp.inference.decoder import Decoder
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.score_sources import ScoreSources
from unimp.inference.scored_rows import ScoredRows
from unimp.inference.searching import ModelSearcher
from unimp.model.inputs import ItemState
from unimp.tasks.queries import QueryMaker, spaced

Plan: TypeAlias = dict[str, str]
"""Attribute -> the value that a drawing shall show."""
LOOKED_AT = 500
"""Items that vote."""
SHARPNESS = 0.5
"""Factor of the search's scores before they become votes."""


@dataclass
class WishPlanner(Decoder):
    """Says in words what a user would want beside a wish, by the votes of the items that the search finds."""

    searcher: ModelSearcher
    queries: QueryMaker
    attributes: tuple[str, ...]
    """Those that are planned, in this order."""

    def with_items(self, state: ItemState, sources: ScoreSources) -> Self:
        return replace(self, searcher=self.searcher.with_items(state, sources))

    def with_prefixes(self, cache: PrefixCache) -> Self:
        return replace(self, searcher=self.searcher.with_prefixes(cache))

    def planned(self, histories: Histories, queries: Sequence[Query]) -> list[Plan]:
        """For each wish the values of attributes that it leaves open; none for a wish that says nothing, of a
        user without a history."""
        asked = [
            user
            for user, query in enumerate(queries)
            if query.text or query.has_picture or histories.lengths[user]
        ]
        plans: list[Plan] = [{} for _ in queries]
        if not asked:
            return plans
        some = histories.select(np.array(asked, dtype=np.int64))
        wishes = [queries[user] for user in asked]
        found = self.searcher.best(some, wishes, [LOOKED_AT] * len(asked), [False] * len(asked))
        for user, query, items in zip(asked, wishes, found, strict=True):
            plans[user] = self.plan(self.told(query.text), items)
        return plans

    def told(self, text: str) -> dict[str, str]:
        """Attribute -> the value that the text names; the longest of several."""
        said, values = spaced(text), dict[str, str]()
        for field, value, words in self.queries.spoken:
            if words in said and len(value) > len(values.get(field, "")):
                values[field] = value
        return values

    def plan(self, told: dict[str, str], items: ScoredRows) -> Plan:
        """What the items found for one wish agree on, where `told` says nothing."""
        known = items.rows < len(self.queries.values)  # not pictures from outside
        rows, scores = items.rows[known], items.scores[known].astype(np.float64)
        if not len(rows):
            return {}
        values = [dict(self.queries.values[row]) for row in rows.tolist()]
        wanted = named(told)
        agreed = np.array([len(wanted & set(one.values())) for one in values])
        votes = np.exp(SHARPNESS * (scores - scores.max())) * (agreed == agreed.max())
        added: dict[str, str] = {}
        for attribute in self.attributes:
            if attribute not in told and (value := elected(attribute, values, votes)):
                added[attribute] = value
        return {name: added[name] for name in self.queries.fields if name in added}


def in_words(plan: Plan) -> Query:
    """The plan as the wish that guides a drawing."""
    return Query(" ".join(dict.fromkeys(plan.values())))


def named(told: dict[str, str]) -> set[str]:
    """The values, without those that are a part of a longer one: "Blue" beside "Light Blue"."""
    values = set(told.values())
    return {
        value
        for value in values
        if not any(value != other and spaced(value) in spaced(other) for other in values)
    }


def elected(attribute: str, values: Sequence[dict[str, str]], votes: FloatArray) -> str | None:
    """The value of an attribute with the most votes; None where no item has one."""
    counts: dict[str, float] = {}
    for one, vote in zip(values, votes.tolist(), strict=True):
        if vote and attribute in one:
            counts[one[attribute]] = counts.get(one[attribute], 0.0) + vote
    return max(counts, key=lambda value: (counts[value], value)) if counts else None
