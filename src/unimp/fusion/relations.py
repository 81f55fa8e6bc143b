"""`Relations`: how items stand to one another, from training events and the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.item_graph import EASE_MAX_ITEMS
from unimp.fusion.cold import place, spread, stand_ins
from unimp.fusion.graphs import (
    DENSE_ITEMS,
    Relation,
    cosine,
    count_pairs,
    ease,
    likeness,
    short_cosine,
    transitions,
)
from unimp.fusion.groups import ItemGroups, attribute_groups, is_hierarchy, prefix_groups
from unimp.fusion.period_popularity import PeriodPopularity, popularity_by_period
from unimp.fusion.words import set_vectors, shared_word_vectors, word_vectors

SHORT = "bought together in short histories"
BOUGHT, LINEAR, NEXT, SECOND = "bought together", "bought together (linear model)", "next", "next but one"
WORDS, PICTURES = "alike in words", "alike in pictures"
SHARED_WORDS = "alike in words that users' items share"
AFFINITY_GROUPS = 4_000
"""Up to so many groups, how often two of them go together is counted."""
FEWEST_OF_KIND = 8
AFFINITY_PRIOR = 5.0
"""Pairs as by chance that are added to the count of two groups."""


@dataclass(frozen=True)
class Grouped:
    """A way to group items, and which groups go together."""

    groups: ItemGroups
    codes: IntArray
    """[I]; the last code, `groups.size`, stands for items without a value."""
    affinity: FloatArray | None
    """[size + 1, size + 1] log of pairs in one history over pairs by chance; 0 where a value is missing."""
    popularity: FloatArray
    """[size + 1] log(1 + training events)."""


@dataclass(frozen=True)
class Personal:
    """What the features of `FusionConfig.personal` read beside the other relations."""

    unseen: FloatArray
    """[I] 1 for items without a training event when weights were fitted."""
    levels: FloatArray | None
    """[I] log price over the mean of the items' kind, in deviations; None without prices or kinds."""


@dataclass(frozen=True)
class Relations:
    """Everything that features are made from."""

    log_graphs: Mapping[str, Relation]
    """Counted on the log: what goes with what, and what comes after what."""
    likenesses: Mapping[str, Relation]
    """From what items say and show."""
    grouped: Sequence[Grouped]
    prices: FloatArray | None
    """[I] log price, the mean where an item has none; None when no item has one."""
    popularity: FloatArray
    """[I] log(1 + training events)."""
    late: FloatArray
    """[I] log(1 + users whose last training event it is)."""
    by_period: PeriodPopularity | None
    """Popularity about a time; None without times."""
    decay: float
    """Each step back in the history counts this much less."""
    personal: Personal | None
    """None: not asked for, and neither is what relations foretold."""
    missing: tuple[str, ...]
    """What the data do not have, in words."""

    @property
    def num_items(self) -> int:
        return len(self.popularity)


def build_relations(
    catalog: Catalog,
    train: Histories,
    *,
    pictures: FloatArray | None,
    l2: float,
    decay: float,
    personal: bool = False,
    dense_items: int = DENSE_ITEMS,
) -> Relations:
    """Count `train`, read the catalogue. `pictures`: [I, F] rows of any encoder, zeros without a picture.

    `dense_items`: up to so many items relations are plain arrays.
    """
    dense = len(catalog) <= dense_items
    likenesses = content_likenesses(catalog, pictures, dense=dense)
    shared = shared_word_vectors(catalog, train) if personal else None
    if shared is not None:
        likenesses[SHARED_WORDS] = likeness(shared, dense=dense)
    groups = [*attribute_groups(catalog), *prefix_groups(catalog, train)]
    counted = count_relations(
        train,
        likenesses,
        groups,
        log_prices(catalog),
        len(catalog),
        l2=l2,
        decay=decay,
        dense_items=dense_items,
    )
    if not personal:
        return counted
    unseen = (np.bincount(train.item_rows, minlength=len(catalog)) == 0).astype(np.float32)
    return replace(counted, personal=Personal(unseen, price_levels(counted.prices, counted.grouped)))


def recount(relations: Relations, log: Histories, *, l2: float, dense_items: int = DENSE_ITEMS) -> Relations:
    """The same relations, in the same order, counted on another log."""
    groups = [grouped.groups for grouped in relations.grouped]
    counted = count_relations(
        log,
        relations.likenesses,
        groups,
        relations.prices,
        relations.num_items,
        l2=l2,
        decay=relations.decay,
        dense_items=dense_items,
    )
    return replace(counted, by_period=relations.by_period and counted.by_period, personal=relations.personal)


def count_relations(
    train: Histories,
    likenesses: Mapping[str, Relation],
    groups: Sequence[ItemGroups],
    prices: FloatArray | None,
    num_items: int,
    *,
    l2: float,
    decay: float,
    dense_items: int = DENSE_ITEMS,
) -> Relations:
    """What the log says, beside what the catalogue says."""
    dense = num_items <= dense_items
    together, counts = count_pairs(train, num_items)
    log_graphs = {
        BOUGHT: cosine(together.copy(), counts, dense=dense),
        SHORT: short_cosine(train, num_items, dense=dense),
        NEXT: transitions(train, num_items, 1),
        SECOND: transitions(train, num_items, 2),
    }
    missing = []
    if num_items <= EASE_MAX_ITEMS:
        log_graphs[LINEAR] = ease(train, num_items, l2, dense=dense)
    else:
        missing.append(f"{LINEAR}: more than {EASE_MAX_ITEMS:,} items")
    missing += [f"no {name}" for name in (WORDS, PICTURES) if name not in likenesses]
    grouped = [with_affinity(group, together, counts) for group in groups]
    if not grouped:
        missing.append("no attribute groups")
    if prices is None:
        missing.append("no price")
    by_period = popularity_by_period(train, num_items)
    if by_period is None:
        missing.append("no times")
    last = train.item_rows[train.offsets[1:][train.lengths > 0] - 1]
    popularity = np.bincount(train.item_rows, minlength=num_items).astype(np.float32)
    late = np.bincount(last, minlength=num_items).astype(np.float32)
    stand_in = stand_ins(likenesses.values(), popularity)
    if stand_in is not None:
        log_graphs = {name: place(graph, stand_in) for name, graph in log_graphs.items()}
        popularity, late = spread(popularity, stand_in), spread(late, stand_in)
        by_period = by_period and PeriodPopularity(
            by_period.starts, np.log1p(np.expm1(by_period.popularity) @ stand_in.T)
        )
    return Relations(
        log_graphs,
        likenesses,
        grouped,
        prices,
        np.log1p(popularity),
        np.log1p(late),
        by_period,
        decay,
        None,
        tuple(missing),
    )


def content_likenesses(catalog: Catalog, pictures: FloatArray | None, *, dense: bool) -> dict[str, Relation]:
    found = {}
    words = word_vectors(catalog)
    if words is not None:
        found[WORDS] = likeness(words, dense=dense)
    for attribute in catalog.attributes:
        if attribute.kind != "categories":
            continue
        cells = catalog.items[attribute.name].to_list()
        vectors = None if is_hierarchy([tuple(cell or ()) for cell in cells]) else set_vectors(cells)
        if vectors is not None:
            found[f"alike in {attribute.name}"] = likeness(vectors, dense=dense)
    if pictures is not None:
        norms = np.linalg.norm(pictures, axis=1, keepdims=True)
        found[PICTURES] = likeness((pictures / np.maximum(norms, 1e-9)).astype(np.float32), dense=dense)
    return found


def with_affinity(groups: ItemGroups, together: Any, counts: FloatArray) -> Grouped:
    """Count which groups go together: log of (n_ab + prior) over (what chance gives + prior)."""
    size = groups.size
    codes = np.where(groups.codes < 0, size, groups.codes)
    events = np.bincount(codes, weights=counts, minlength=size + 1)
    affinity = None
    if size <= AFFINITY_GROUPS:
        ones = np.ones(len(codes), np.float32)
        member: Any = sp.csr_matrix((ones, (np.arange(len(codes)), codes)), shape=(len(codes), size + 1))
        other = together - sp.diags(together.diagonal())
        pairs = np.asarray((member.T @ other @ member).toarray(), dtype=np.float64)
        chance = np.outer(pairs.sum(axis=1), pairs.sum(axis=0)) / max(pairs.sum(), 1.0)
        affinity = np.log((pairs + AFFINITY_PRIOR) / (chance + AFFINITY_PRIOR)).astype(np.float32)
        affinity[size] = 0.0
        affinity[:, size] = 0.0
    return Grouped(groups, codes, affinity, np.log1p(events).astype(np.float32))


def log_prices(catalog: Catalog) -> FloatArray | None:
    """The log of the first attribute that is called a price; None where there is none above 0."""
    for attribute in catalog.attributes:
        if attribute.kind == "number" and "price" in attribute.name.lower():
            values = catalog.items[attribute.name].fill_null(float("nan")).to_numpy().astype(np.float64)
            known = values > 0
            if known.any():
                logs = np.log(np.where(known, values, 1.0))
                return np.where(known, logs, logs[known].mean()).astype(np.float32)
    return None


def price_levels(prices: FloatArray | None, grouped: Sequence[Grouped]) -> FloatArray | None:
    """[I] how dear an item is for its kind: log price less the mean of its group, in deviations of all those.

    The group that explains the prices best; one that has fewer than FEWEST_OF_KIND items on average tells
    no level.
    """
    if prices is None:
        return None
    best: FloatArray | None = None
    for one in grouped:
        if one.groups.size * FEWEST_OF_KIND > len(prices):
            continue
        counts = np.maximum(np.bincount(one.codes, minlength=one.groups.size + 1), 1)
        means = np.bincount(one.codes, weights=prices, minlength=one.groups.size + 1) / counts
        found = prices - means[one.codes].astype(np.float32)
        if best is None or found.std() < best.std():
            best = found
    if best is None or best.std() < 1e-6:
        return None
    levels: FloatArray = (best / best.std()).astype(np.float32)
    return levels
