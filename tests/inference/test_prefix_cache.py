"""The cache finds the longest known beginning, stays within its bytes, and forgets what it is asked to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from unimp.data.histories import IntArray
from unimp.inference.prefix import HistoryKey, Positions, Prefix
from unimp.inference.prefix_cache import VERSIONS, PrefixCache

WIDTH = 2


def positions(task: int, items: Sequence[int]) -> Positions:
    """A start, the task's word, then two positions for each item: itself, and a bag of two words."""
    rows = np.array([-1, -1, *(row for item in items for row in (item, -1))], dtype=np.int64)
    sizes = np.array([1, 1, *([0, 2] * len(items))], dtype=np.int64)
    words = [0, 100 + task, *(word for item in items for word in (10 + item % 3, 20 + item))]
    pictures = np.array([-1, -1, *(item for item in items for _ in range(2))], dtype=np.int64)
    sees = np.zeros(len(rows), dtype=np.int64)
    return Positions(rows, pictures, sees, sizes, np.array(words, dtype=np.int64), 2)


def stamp(key: Positions) -> torch.Tensor:
    """[S, WIDTH] numbers that each depend on the whole beginning up to their position."""
    ends = np.cumsum(key.bag_sizes)
    steps = [
        hash((tuple(key.items[:end]), tuple(key.pictures[:end]), tuple(key.tokens[:stop]))) % 1_000_003
        for end, stop in zip(range(1, len(key) + 1), ends.tolist(), strict=True)
    ]
    return torch.tensor(steps, dtype=torch.float32)[:, None].repeat(1, WIDTH)


def prefix(task: int, items: Sequence[int], *, events: bool = False) -> Prefix:
    key = positions(task, items)
    numbers = stamp(key)[None, None]
    return Prefix(key, numbers, -numbers, numbers[0, 0, -1], history(task, items) if events else None)


def history(task: int, items: Sequence[int]) -> HistoryKey:
    ratings = np.full(len(items), np.nan, dtype=np.float32)
    return HistoryKey(str(task), np.array(items, dtype=np.int64), ratings)


def test_the_shared_positions_are_counted_in_every_part() -> None:
    full = positions(1, [4, 5, 6])
    assert full.shared(positions(1, [4, 5, 6])) == len(full) == 8
    assert full.shared(positions(1, [4, 5])) == positions(1, [4, 5]).shared(full) == 6
    assert full.shared(positions(2, [4, 5, 6])) == 1  # only the start
    assert full.shared(positions(1, [4, 9, 6])) == 4
    other_word = positions(1, [4, 5, 6])
    other_word.tokens[-3] += 1  # the second word of item 5
    assert full.shared(other_word) == 5
    other_picture = positions(1, [4, 5, 6])
    other_picture.pictures[6] = 1
    assert full.shared(other_picture) == 6


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_match_as_far_as_they_were_inserted(seed: int) -> None:
    """Users' histories grow, shrink and change, beside a dictionary of what was inserted last."""
    rng = np.random.default_rng(seed)
    cache = PrefixCache(2**24)
    latest: dict[tuple[str, int], Positions] = {}
    histories: dict[tuple[str, int], list[int]] = {}
    for _ in range(300):
        user, task = f"u{rng.integers(3)}", int(rng.integers(2))
        items = histories.setdefault((user, task), [])
        match int(rng.integers(12)):
            case 0 | 1:
                del items[int(rng.integers(len(items) + 1)) :]
            case 2 | 3 if items:
                items[int(rng.integers(len(items)))] = int(rng.integers(40))
            case 4:
                row = int(rng.integers(40))
                cache.forget_items([row])
                assert not any(
                    one.positions.holds(np.array([row])) for u in cache.users() for one in cache.prefixes(u)
                )
                latest.clear()  # the beginning of a longer history goes with it
            case 5:
                cache.forget_user(user)
                latest = {key: known for key, known in latest.items() if key[0] != user}
            case _:
                items.extend(rng.integers(40, size=int(rng.integers(1, 3))).tolist())
        asked, known = positions(task, items), latest.get((user, task))
        cached = [one.positions.shared(asked) for one in cache.prefixes(user)]
        found = cache.match(user, asked)
        length = 0 if found is None else found[1]
        assert length == max(cached, default=0)
        assert length >= (0 if known is None else known.shared(asked))
        if found is not None:
            assert torch.equal(found[0].keys_LHSK[0, 0, :length], stamp(asked)[:length])
            assert torch.equal(found[0].values_LHSK[0, 0, :length], -stamp(asked)[:length])
        cache.insert(user, prefix(task, items))
        latest[user, task] = asked
        known_now = [one.positions for one in cache.prefixes(user)]
        assert max(one.shared(asked) for one in known_now) == len(asked)
        assert len(known_now) <= 2 * VERSIONS
        nested = [(a, b) for a in known_now for b in known_now if a is not b and a.shared(b) == len(a)]
        assert not nested  # nothing is cached twice
        assert cache.bytes == sum(one.num_bytes for name in cache.users() for one in cache.prefixes(name))


@pytest.mark.parametrize("seed", range(3))
def test_the_bytes_never_exceed_the_bound_and_the_oldest_go_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bound = 5 * prefix(0, range(6)).num_bytes
    cache, order = PrefixCache(bound), list[str]()
    for _ in range(200):
        user = f"u{rng.integers(12)}"
        items = range(int(rng.integers(1, 9)))
        if rng.random() < 0.5:
            used = cache.match(user, positions(0, items)) is not None
            order = [*(name for name in order if name != user), *([user] if used else [])]
            continue
        before = cache.users()
        covered = any(one.positions.shared(positions(0, items)) == 2 + 2 * len(items)
                      and len(one) > 2 + 2 * len(items) for one in cache.prefixes(user))  # fmt: skip
        cache.insert(user, prefix(0, items))
        assert cache.bytes <= bound
        if not covered:
            order = [*(name for name in order if name != user), user]
        gone = (before | {user}) - cache.users()
        assert gone == set(order[: len(gone)])
        order = [name for name in order if name not in gone]
    assert len(cache) > 1
    nothing = PrefixCache(0)
    nothing.insert("a", prefix(0, [1]))
    assert (len(nothing), nothing.bytes, nothing.users()) == (0, 0, set())


def test_outcomes_say_how_much_of_a_history_was_known() -> None:
    cache = PrefixCache(2**20)
    for items in ([], [1], [1, 2], [1, 2], [1], [1, 3]):
        cache.match("ann", positions(0, items))
        cache.insert("ann", prefix(0, items))
    assert cache.outcomes == {"hit": 2, "extended": 2, "miss": 2}
    assert cache.match("bob", positions(0, [1])) is None
    found = cache.match("ann", positions(1, [1]))
    assert found is not None
    assert found[1] == 1  # the start alone
    assert cache.outcomes["miss"] == 4


def test_a_history_is_found_by_its_events() -> None:
    cache = PrefixCache(2**20)
    cache.insert("ann", prefix(0, [1, 2], events=True))
    for items, length in (([1, 2], 2), ([1, 2, 3], 2), ([1], None), ([2, 1], None), ([], None)):
        found = cache.match_events("ann", history(0, items))
        assert (None if found is None or found.events is None else len(found.events)) == length
    assert cache.match_events("ann", history(1, [1, 2])) is None
    assert cache.match_events("bob", history(0, [1, 2])) is None
    assert cache.outcomes == {"hit": 1, "extended": 1, "miss": 0}
    rated = HistoryKey("0", np.array([1]), np.array([4.0], dtype=np.float32))
    assert not rated.begins(history(0, [1, 2]))
    assert rated.begins(rated)


def test_a_beginning_of_what_is_cached_is_not_cached_again() -> None:
    cache = PrefixCache(2**20)
    cache.insert("ann", prefix(0, [1, 2, 3]))
    cache.insert("ann", prefix(0, [1, 2]))
    assert [len(one) for one in cache.prefixes("ann")] == [8]
    for last in range(4, 4 + VERSIONS + 2):
        cache.insert("ann", prefix(0, [1, last]))
    kept: list[IntArray] = [one.positions.items[4:5] for one in cache.prefixes("ann")]
    assert np.concatenate(kept).tolist() == [6, 7, 8][-VERSIONS:]


def test_users_and_items_are_forgotten() -> None:
    cache = PrefixCache(2**20)
    for task, user, items in ((0, "a", [1, 2]), (1, "a", [1]), (0, "b", [2, 3]), (0, "c", [4])):
        cache.insert(user, prefix(task, items))
    cache.forget_items([3, 9])
    assert (cache.users(), len(cache)) == ({"a", "c"}, 3)
    cache.forget_user("a")
    cache.forget_user("nobody")
    assert (cache.users(), len(cache)) == ({"c"}, 1)
    assert cache.bytes == prefix(0, [4]).num_bytes
    assert cache.match("a", positions(0, [1, 2])) is None
