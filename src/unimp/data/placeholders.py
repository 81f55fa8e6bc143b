"""Placeholder pictures: one "no image available" on many items says nothing of any of them."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unimp.data.pictures import PictureSource

NAMED = re.compile(
    r"(no|missing|without|default|blank)[\s_-]*(image|picture|photo|pic|img|foto|product)|placeholder"
    r"|coming[\s_-]*soon|(image|picture|photo|img)[\s_-]*(not|un)[\s_-]*(available|found)",
    re.IGNORECASE,
)
"""In a file's name, says what it is."""
FEW, MANY, SHARE = 5, 20, 0.01
"""Items that share a picture before it can be taken for a placeholder: FEW where their titles have nothing in
common, MANY without titles, and at least this share of the items with a picture."""


@dataclass(frozen=True)
class SharedPicture:
    """One picture on several items."""

    reference: str
    """Of the first item."""
    items: tuple[int, ...]
    """Positions in the list that was asked about."""


def find_placeholders(
    source: PictureSource,
    references: Sequence[str | None],
    titles: Sequence[str | None] | None,
    called: Mapping[str, str] | None = None,
) -> list[SharedPicture]:
    """Pictures that are shared by items which have nothing else in common, the most shared one first.

    Variants of a product may share one: their titles have a word in common that others lack. `called` says
    what references are called elsewhere, where their own names tell nothing.
    """
    pictured = [place for place, reference in enumerate(references) if reference is not None]
    groups = shared_pictures(source, references, pictured)
    names = called or {}
    found = [
        group
        for group in groups
        if NAMED.search(names.get(group.reference, group.reference))
        or has_nothing_in_common(group, len(pictured), titles, pictured)
    ]
    return sorted(found, key=lambda group: (-len(group.items), group.reference))


def has_nothing_in_common(
    group: SharedPicture, pictured: int, titles: Sequence[str | None] | None, places: Sequence[int]
) -> bool:
    """Whether so many items, and such unlike ones, share the picture that it can be of none of them."""
    count = len(group.items)
    if count < max(FEW, SHARE * pictured):
        return False
    if 2 * count > pictured:  # no product has more than half of a shop's items as its variants
        return True
    return count >= MANY if titles is None else not have_a_word_in_common(group.items, titles, places)


def have_a_word_in_common(items: Sequence[int], titles: Sequence[str | None], places: Sequence[int]) -> bool:
    """Whether half of the items share a word that is at most half as frequent among the others."""
    inside = set(items)
    here, there = Counter[str](), Counter[str]()
    for place in places:
        (here if place in inside else there).update(set(re.findall(r"\w+", (titles[place] or "").lower())))
    others = max(1, len(places) - len(inside))
    return any(
        2 * number >= len(inside) and there[word] / others <= number / len(inside) / 2
        for word, number in here.items()
    )


def shared_pictures(
    source: PictureSource, references: Sequence[str | None], places: Sequence[int]
) -> list[SharedPicture]:
    """Groups of two or more items with the same file, or with files of the same content."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for place in places:
        by_name[references[place] or ""].append(place)
    by_content: dict[object, list[str]] = defaultdict(list)
    for name, key in content_keys(source, by_name).items():
        by_content[key].append(name)
    groups = []
    for names in by_content.values():
        items = sorted(place for name in names for place in by_name[name])
        if len(items) > 1:
            groups.append(SharedPicture(references[items[0]] or "", tuple(items)))
    return groups


def content_keys(source: PictureSource, by_name: Mapping[str, Sequence[int]]) -> dict[str, object]:
    """Something equal for files of equal content; only files whose size FEW others have are read."""
    if not source.path.is_dir():
        with zipfile.ZipFile(source.path) as archive:
            return {
                name: (found.file_size, found.CRC) for name in by_name if (found := archive.getinfo(name))
            }
    sizes = {name: (source.path / name).stat().st_size for name in by_name}
    weight = Counter[int]()
    for name, size in sizes.items():
        weight[size] += len(by_name[name])
    keys: dict[str, object] = {}
    for name, size in sizes.items():
        if weight[size] < FEW or len(by_name[name]) == weight[size]:
            keys[name] = name
        else:
            keys[name] = hashlib.sha256((source.path / name).read_bytes()).digest()
    return keys
