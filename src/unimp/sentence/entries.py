"""The positions of several sentences, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unimp.data.histories import IntArray
from unimp.sentence.encoder import EncodedSentence

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Entries:
    """The positions of several sentences, one after the other."""

    kinds: IntArray
    roles: IntArray
    items: IntArray
    """Query items are numbered through the batch."""
    pictures: IntArray
    sees: IntArray
    bag_sizes: IntArray
    tokens: IntArray
    predicted: BoolArray
    earlier_pictures: list[IntArray]
    """Of each sentence."""

    @classmethod
    def of(cls, sentences: Sequence[EncodedSentence]) -> Entries:
        def joined(name: str) -> Any:
            return np.concatenate([getattr(sentence, name) for sentence in sentences])

        items = joined("items")
        before = np.cumsum([0, *(len(sentence.query_items) for sentence in sentences[:-1])])
        shift = np.repeat(before, [len(sentence) for sentence in sentences])
        return cls(
            joined("kinds").astype(np.int64),
            joined("roles").astype(np.int64),
            np.where(items <= -2, items - shift, items),
            joined("pictures"),
            joined("sees"),
            joined("bag_sizes"),
            joined("tokens"),
            joined("predicted"),
            [np.array(sentence.earlier_pictures, dtype=np.int64) for sentence in sentences],
        )
