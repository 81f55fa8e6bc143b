"""What a relation that speaks for an item rests on: the items of the history that stand behind it."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import IntArray
from unimp.fusion.relations import (
    BOUGHT,
    LINEAR,
    NEXT,
    PICTURES,
    SECOND,
    SHARED_WORDS,
    SHORT,
    WORDS,
    Relations,
)
from unimp.inference.second_stage import Reason, ReasonKind

KINDS: dict[str, ReasonKind] = {
    BOUGHT: "bought",
    SHORT: "bought",
    LINEAR: "bought",
    NEXT: "next",
    SECOND: "next",
    WORDS: "words",
    SHARED_WORDS: "words",
    PICTURES: "pictures",
}
SAME = "same "


def latest_once(history: IntArray) -> IntArray:
    """The rows of a history, oldest first, each once and the latest first."""
    return np.array(list(dict.fromkeys(history[::-1].tolist())), dtype=np.int64)


def evidence(relations: Relations, name: str, latest_first: IntArray, item_row: int) -> Reason:
    """The relation `name` with the items of a history (see `latest_once`) that it rests on."""
    if name.startswith(SAME):
        grouped = next(one for one in relations.grouped if one.groups.name == name)
        code = grouped.codes[item_row]
        agreeing = latest_first[grouped.codes[latest_first] == code]
        shared = agreeing if code < grouped.groups.size else agreeing[:0]  # no value agrees with none
        return Reason(name, "value", name.removeprefix(SAME), tuple(shared.tolist()))
    # The linear model's weight of two items may be positive though nobody had both.
    graph = {**relations.log_graphs, **relations.likenesses}.get(BOUGHT if name == LINEAR else name)
    if graph is None:
        return Reason(name)
    strength = graph.cells(latest_first, np.array([item_row]))[:, 0]
    order = np.argsort(-strength, kind="stable")
    behind = latest_first[order[strength[order] > 0]]
    return Reason(name, KINDS.get(name, "other"), rows=tuple(behind.tolist()))
