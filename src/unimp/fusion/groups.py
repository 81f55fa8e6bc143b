"""`ItemGroups`: what items can have in common, as one integer code per item: values, parents, id prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unimp.data.catalog import Catalog
from unimp.data.histories import Histories, IntArray

NONE = -1
"""Code of an item that has no value: it agrees with nothing, not even with another such item."""
COMPANY = 0.05
"""Groups in which fewer of the items than this have another one beside them are no relation."""
HIERARCHY = 0.9
"""A list is a path when its values name their predecessor so surely, on average."""
MOST_LEVELS = 4
DENSE_IDS = 0.5
"""Ids that are numbers and fill their range to this share merely count rows."""
LIFT = 2.0
"""How much likelier than by chance neighbouring items must share an id prefix for it to be a group."""


@dataclass(frozen=True)
class ItemGroups:
    """One way to sort the items into groups."""

    name: str
    """`same product_type_name`, `same categories level 1`, `same item_id[:7]`."""
    codes: IntArray
    """[I] group of every item, 0-based; NONE where there is no value."""
    size: int
    """Number of groups."""


def make_groups(name: str, values: Sequence[str | None]) -> ItemGroups | None:
    """Codes of the values in sorted order; None unless there are two groups and enough items in company."""
    known = sorted({value for value in values if value is not None})
    place = {value: code for code, value in enumerate(known)}
    codes = np.array([NONE if value is None else place[value] for value in values], dtype=np.int64)
    if len(known) < 2 or company(codes) < COMPANY:
        return None
    return ItemGroups(name, codes, len(known))


def attribute_groups(catalog: Catalog) -> list[ItemGroups]:
    """Every category attribute, and every level of a list attribute whose values form a path."""
    found: list[ItemGroups | None] = []
    for attribute in catalog.attributes:
        if attribute.kind == "category":
            found.append(make_groups(f"same {attribute.name}", catalog.texts[attribute.name]))
        elif attribute.kind == "categories":
            paths = [tuple(cell or ()) for cell in catalog.items[attribute.name].to_list()]
            if is_hierarchy(paths):
                found += path_groups(attribute.name, paths)
        elif attribute.name == catalog.title:
            # Equal titles under different ids are variants of one thing.
            found.append(make_groups(f"same {attribute.name}", catalog.texts[attribute.name]))
    return [groups for groups in found if groups is not None]


def path_groups(name: str, paths: Sequence[tuple[str, ...]]) -> list[ItemGroups | None]:
    """The whole path, and its beginnings."""
    deepest = min(max(map(len, paths), default=0), MOST_LEVELS)
    taken: list[ItemGroups | None] = [
        make_groups(f"same {name}", ["\0".join(path) or None for path in paths])
    ]
    for depth in range(deepest - 1, 0, -1):
        level = make_groups(f"same {name} level {depth}", ["\0".join(path[:depth]) or None for path in paths])
        # A level that hardly joins any of the groups below it would say the same again.
        if level is not None and taken[-1] is not None and level.size <= 0.9 * taken[-1].size:
            taken.append(level)
    return taken


def is_hierarchy(paths: Sequence[tuple[str, ...]]) -> bool:
    """Whether each value has nearly always the same value before it, as `Nails` has `Makeup`."""
    before: dict[str, dict[str, int]] = {}
    for path in paths:
        for parent, value in zip(("", *path), path, strict=False):
            seen = before.setdefault(value, {})
            seen[parent] = seen.get(parent, 0) + 1
    total = sum(sum(seen.values()) for seen in before.values())
    return total > 0 and sum(max(seen.values()) for seen in before.values()) / total >= HIERARCHY


def prefix_groups(catalog: Catalog, train: Histories) -> list[ItemGroups]:
    """Beginnings of the item ids that items of one user share more often than chance would have it.

    Only ids of one length that do not simply count rows: numbers given in the order of the log would tell
    neighbours in a sequence from others, the held-back ones included. Taken are the beginning of the highest
    lift and the longest shorter one with at most half as many groups.
    """
    ids = catalog.item_ids
    lengths = {len(item_id) for item_id in ids}
    if len(lengths) != 1 or counts_rows(ids):
        return []
    lifts: dict[int, tuple[ItemGroups, float]] = {}
    for cut in range(1, lengths.pop()):
        groups = make_groups(f"same item_id[:{cut}]", [item_id[:cut] for item_id in ids])
        if groups is not None and (lift := prefix_lift(groups, train)) >= LIFT:
            lifts[cut] = groups, lift
    if not lifts:
        return []
    best = max(lifts, key=lambda cut: lifts[cut][1])
    fine = lifts[best][0]
    coarse = [lifts[cut][0] for cut in lifts if cut < best and lifts[cut][0].size <= fine.size / 2]
    return [fine, *coarse[-1:]]


def counts_rows(ids: Sequence[str]) -> bool:
    """Whether the ids are numbers that leave few gaps."""
    if not all(item_id.isdecimal() for item_id in ids):
        return False
    numbers = [int(item_id) for item_id in ids]
    return len(numbers) >= DENSE_IDS * (max(numbers) - min(numbers) + 1)


def company(codes: IntArray) -> float:
    """The share of items that have another one in their group."""
    counts = np.bincount(codes[codes >= 0])
    return float(counts[counts > 1].sum() / max(len(codes), 1))


def prefix_lift(groups: ItemGroups, train: Histories) -> float:
    """Neighbouring events of one user in one group, over what popularity alone gives."""
    codes = groups.codes[train.item_rows]
    owners = train.owners()
    pairs = owners[1:] == owners[:-1]
    different = train.item_rows[1:] != train.item_rows[:-1]
    agree = (codes[1:] == codes[:-1])[pairs & different]
    shares = np.bincount(codes, minlength=groups.size) / max(len(codes), 1)
    return float(agree.mean() / max((shares**2).sum(), 1e-12)) if len(agree) else 0.0
