from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unimp.data.histories import NO_TIME, Histories

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=8)


def lists(histories: Histories) -> list[list[int]]:
    return [histories.items_of(user).tolist() for user in range(len(histories))]


@given(LISTS, st.integers(-3, 7))
def test_first_counts_from_the_start_or_drops_from_the_end(rows: list[list[int]], count: int) -> None:
    assert lists(Histories.from_lists(rows).first(count)) == [row[:count] for row in rows]


@given(LISTS, st.integers(0, 7))
def test_last(rows: list[list[int]], count: int) -> None:
    assert lists(Histories.from_lists(rows).last(count)) == [
        row[len(row) - min(count, len(row)) :] for row in rows
    ]


@given(LISTS, st.integers(0, 10))
def test_only_items_below_a_row(rows: list[list[int]], stop: int) -> None:
    kept = Histories.from_lists(rows).with_rows_below(stop)
    assert lists(kept) == [[item for item in row if item < stop] for row in rows]
    assert len(kept.ratings) == len(kept.times) == len(kept.event_rows) == kept.num_events


@given(LISTS, st.data())
def test_select_and_slice(rows: list[list[int]], data: st.DataObject) -> None:
    users = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    histories = Histories.from_lists(rows)
    chosen = histories.select(users)
    assert lists(chosen) == [rows[user] for user in users]
    assert chosen.user_ids.tolist() == [str(user) for user in users]
    assert lists(histories.slice(1, 3)) == rows[1:3]


def test_owners_lengths_and_unknown_values() -> None:
    histories = Histories.from_lists([[1, 2], [], [3]], user_ids=["a", "b", "c"])
    assert histories.owners().tolist() == [0, 0, 2]
    assert histories.lengths.tolist() == [2, 0, 1]
    assert histories.num_events == 3
    assert np.isnan(histories.ratings).all()
    assert (histories.times == NO_TIME).all()
    assert (histories.event_rows == -1).all()
