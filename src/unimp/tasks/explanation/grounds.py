"""Sentences that tie an item to the user's own history; what they say is counted, none of it is generated."""

from __future__ import annotations

from collections.abc import Sequence

from unimp.data.catalog import Catalog
from unimp.inference.second_stage import Reason

MOST_SENTENCES = 2
FROM_THE_LOG = ("bought", "next")


def grounds(
    catalog: Catalog, reasons: Sequence[Reason], item_row: int, *, has_events: bool
) -> tuple[str, ...]:
    """At most MOST_SENTENCES of `reasons`, strongest first, each about another kind of tie.

    `has_events`: whether training saw the item; what others chose is not told of one that nobody could.
    """
    said: dict[str, str] = {}
    for reason in reasons:
        by_others = reason.kind in FROM_THE_LOG
        if by_others and not has_events:
            continue
        sentence = in_words(catalog, reason, item_row)
        if sentence:
            said.setdefault("others" if by_others else reason.kind, sentence)
    return tuple(said.values())[:MOST_SENTENCES]


def in_words(catalog: Catalog, reason: Reason, item_row: int) -> str:
    """One sentence; empty where there is nothing that a customer would understand."""
    if not reason.rows:
        return ""
    first = catalog.label(reason.rows[0])
    if reason.kind == "value":
        return shared_value(catalog, reason, item_row)
    return {
        "bought": f"Others who chose {first} chose it too.",
        "next": f"Others chose it soon after {first}.",
        "words": f"It is described like {first}, which you chose.",
        "pictures": f"It looks like {first}, which you chose.",
    }.get(reason.kind, "")


def shared_value(catalog: Catalog, reason: Reason, item_row: int) -> str:
    """How many items of the history share the value in the catalogue as it is now, and the latest of them."""
    if reason.attribute not in catalog.texts:
        return ""  # a level of a path, the beginning of an id
    values = catalog.texts[reason.attribute]
    value = values[item_row]
    sharing = [row for row in reason.rows if values[row] == value]
    if value is None or not sharing:
        return ""
    if reason.attribute == catalog.title:
        return f"You chose {value} before, in another version."
    name = reason.attribute.removesuffix("_name").replace("_", " ")
    latest = catalog.label(sharing[0])
    if len(sharing) == 1:
        return f"You chose {latest} before, of the same {name} ({value})."
    return f"You chose {len(sharing)} of the same {name} before ({value}), {latest} last."
