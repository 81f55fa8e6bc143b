from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from unimp.data.filtering import deduplicate, k_core

EDGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


def one_by_one(edges: list[tuple[int, int]], k: int) -> list[int]:
    """The k-core by removing a single weak user or item at a time."""
    left = list(range(len(edges)))
    while True:
        users, items = Counter(edges[e][0] for e in left), Counter(edges[e][1] for e in left)
        weak_user = next((user for user, count in users.items() if count < k), None)
        weak_item = next((item for item, count in items.items() if count < k), None)
        if weak_user is not None:
            left = [e for e in left if edges[e][0] != weak_user]
        elif weak_item is not None:
            left = [e for e in left if edges[e][1] != weak_item]
        else:
            return left


@given(EDGES, st.integers(1, 4))
def test_k_core_is_the_one_that_single_removals_reach(edges: list[tuple[int, int]], k: int) -> None:
    users, items = np.array(edges).T
    assert np.flatnonzero(k_core(users, items, k)).tolist() == one_by_one(edges, k)


def test_dropping_a_user_can_empty_the_core() -> None:
    users, items = np.array([[0, 0], [0, 1], [1, 1]]).T
    assert not k_core(users, items, 2).any()


def test_deduplicate_keeps_the_first_or_the_last_and_the_order() -> None:
    events = pl.DataFrame({"user": [0, 0, 0, 1, 0], "item_row": [7, 8, 7, 7, 8], "timestamp": range(5)})
    assert deduplicate(events, "none")["timestamp"].to_list() == [0, 1, 2, 3, 4]
    assert deduplicate(events, "first")["timestamp"].to_list() == [0, 1, 3]
    assert deduplicate(events, "last")["timestamp"].to_list() == [2, 3, 4]
