from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from unimp.core.errors import DataError
from unimp.data.histories import Cases, Histories, Split
from unimp.data.splits import last_n, leave_one_out, new_domain, new_users, temporal

NUM_ITEMS = 12


@st.composite
def logs(draw: st.DrawFn, *, repeats: bool = True) -> Histories:
    """Users with times in order, ties included; event_rows number the events."""
    row = st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=7, unique=not repeats)
    rows = draw(st.lists(row, min_size=3, max_size=14))
    plain = Histories.from_lists(rows)
    steps = draw(st.lists(st.integers(0, 3), min_size=plain.num_events, max_size=plain.num_events))
    times = np.concatenate([np.cumsum(part) for part in np.split(np.array(steps), plain.offsets[1:-1])])
    return Histories(
        plain.user_ids, plain.offsets, plain.item_rows, plain.ratings, times.astype(np.int64),
        np.arange(plain.num_events),
    )  # fmt: skip


def split_or_skip(make: object, *arguments: object, **options: object) -> Split:
    try:
        return make(*arguments, **options)  # type: ignore[operator, no-any-return]
    except DataError:
        assume(False)
        raise


def check_cases(cases: Cases, log: Histories) -> None:
    """Each history is exactly what its user did before the answer, oldest first."""
    offsets = dict(zip(log.user_ids.tolist(), log.offsets[:-1].tolist(), strict=True))
    for case in range(len(cases)):
        start = offsets[cases.histories.user_ids[case]]
        target = cases.target_events[case]
        own = cases.histories.event_rows[slice(*cases.histories.offsets[case : case + 2])]
        assert own.tolist() == list(range(start, target))
        assert log.item_rows[target] == cases.target_rows[case]


def held_out(split: Split) -> set[int]:
    return {int(event) for cases in (split.valid, split.test) for event in cases.target_events}


@given(logs())
def test_leave_one_out(log: Histories) -> None:
    split = split_or_skip(leave_one_out, log, NUM_ITEMS)
    check_cases(split.valid, log)
    check_cases(split.test, log)
    assert not held_out(split) & set(split.train.event_rows.tolist())
    last = dict(zip(log.user_ids.tolist(), (log.offsets[1:] - 1).tolist(), strict=True))
    for case, user in enumerate(split.test.histories.user_ids.tolist()):
        assert split.test.target_events[case] == last[user]
        assert split.valid.target_events[case] == last[user] - 1
        assert split.test.histories.items_of(case)[-1] == split.valid.target_rows[case]
    assert split.test.histories.user_ids.tolist() == log.user_ids[log.lengths >= 3].tolist()
    assert split.train.user_ids.tolist() == log.user_ids.tolist()


@given(logs(), st.integers(1, 4))
def test_last_n_asks_for_each_of_a_users_last_events(log: Histories, count: int) -> None:
    split = split_or_skip(last_n, log, NUM_ITEMS, count=count)
    check_cases(split.valid, log)
    check_cases(split.test, log)
    long_enough = np.flatnonzero(log.lengths >= count + 2)
    ends = log.offsets[1:][long_enough]
    expected = (ends[:, None] - count + np.arange(count)).ravel()
    assert split.test.target_events.tolist() == expected.tolist()
    assert split.valid.target_events.tolist() == (ends - count - 1).tolist()
    rest = set(range(log.num_events)) - held_out(split)
    assert set(split.train.event_rows.tolist()) == rest


def test_last_one_is_leave_one_out() -> None:
    log = Histories.from_lists([[0, 1, 2, 3], [4, 5], [6, 7, 8]])
    last, usual = last_n(log, NUM_ITEMS, count=1), leave_one_out(log, NUM_ITEMS)
    for field in fields(Histories):
        for a, b in ((last.train, usual.train), (last.test.histories, usual.test.histories)):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))
    assert last.test.target_rows.tolist() == usual.test.target_rows.tolist()


@given(logs(repeats=False))
def test_the_held_out_item_is_never_in_its_history(log: Histories) -> None:
    split = split_or_skip(leave_one_out, log, NUM_ITEMS)
    for cases in (split.valid, split.test):
        for case in range(len(cases)):
            assert cases.target_rows[case] not in cases.histories.items_of(case)


@given(logs())
def test_no_training_event_is_later_than_its_users_cut(log: Histories) -> None:
    split = split_or_skip(leave_one_out, log, NUM_ITEMS)
    cut = dict(zip(split.valid.histories.user_ids.tolist(), split.valid.target_events.tolist(), strict=True))
    for user in range(len(split.train)):
        events = split.train.event_rows[slice(*split.train.offsets[user : user + 2])]
        if (event := cut.get(str(split.train.user_ids[user]))) is not None:
            assert (log.times[events] <= log.times[event]).all()
            assert (events < event).all()


@given(logs(), st.integers(0, 3))
def test_new_users_are_disjoint_and_fixed_by_the_seed(log: Histories, seed: int) -> None:
    split = split_or_skip(new_users, log, NUM_ITEMS, seed=seed)
    groups = [
        set(split.train.user_ids),
        set(split.valid.histories.user_ids),
        set(split.test.histories.user_ids),
    ]
    assert len(set.union(*groups)) == sum(map(len, groups))
    check_cases(split.valid, log)
    check_cases(split.test, log)
    again = new_users(log, NUM_ITEMS, seed=seed)
    for field in fields(Histories):
        np.testing.assert_array_equal(
            getattr(again.train, field.name), getattr(split.train, field.name), strict=True
        )
    assert again.test.target_events.tolist() == split.test.target_events.tolist()


def test_another_seed_holds_other_users() -> None:
    log = Histories.from_lists([[user % 5, (user + 1) % 5, (user + 2) % 5] for user in range(60)])
    one, other = (new_users(log, 5, seed=seed) for seed in (0, 1))
    assert one.test.histories.user_ids.tolist() != other.test.histories.user_ids.tolist()


@given(logs(), st.sets(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=6))
def test_new_domain_never_trains_on_its_items(log: Histories, held: set[int]) -> None:
    mask = np.isin(np.arange(NUM_ITEMS), list(held))
    split = split_or_skip(new_domain, log, NUM_ITEMS, mask)
    assert not set(split.train.item_rows.tolist()) & held
    assert not set(split.valid.target_rows.tolist()) & held
    assert not set(split.valid.histories.item_rows.tolist()) & held
    assert set(split.test.target_rows.tolist()) <= held
    assert set(split.test.histories.item_rows.tolist()) <= held
    assert not split.trained_items[mask].any()
    assert not set(split.valid.target_events.tolist()) & set(split.train.event_rows.tolist())


@given(logs())
def test_temporal_cuts_all_users_at_once(log: Histories) -> None:
    split = split_or_skip(temporal, log, NUM_ITEMS)
    check_cases(split.valid, log)
    check_cases(split.test, log)
    first_answer = min(
        log.times[cases.target_events].min() for cases in (split.valid, split.test) if len(cases)
    )
    assert (split.train.times < first_answer).all()
    for cases in (split.valid, split.test):
        if len(cases):
            assert cases.histories.times.max() < log.times[cases.target_events].min()


def test_splits_that_leave_nothing_say_so() -> None:
    with pytest.raises(DataError, match="split leave-one-out: nothing left"):
        leave_one_out(Histories.from_lists([[0, 1], [1]]), 2)
    with pytest.raises(DataError, match="some events have no time"):
        temporal(Histories.from_lists([[0, 1, 2]]), 3)


def test_users_with_fewer_than_three_events_only_train() -> None:
    split = leave_one_out(Histories.from_lists([[0, 1], [2, 3, 4]]), 6)
    assert split.train.item_rows.tolist() == [0, 1, 2]
    assert split.test.target_rows.tolist() == [4]
    assert split.trained_items.tolist() == [True, True, True, False, False, False]


def test_last_n_says_how_many_events_a_user_needs() -> None:
    with pytest.raises(DataError, match="split last-n: no user has 7 events; use leave-one-out"):
        last_n(Histories.from_lists([[0, 1, 2, 3, 4, 5]]), NUM_ITEMS)
