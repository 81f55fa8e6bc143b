"""A cache bounded in bytes, against a slow model of itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unimp.core.caches import ByteBoundedCache


def test_the_least_recently_used_goes_first() -> None:
    cache: ByteBoundedCache[str, int] = ByteBoundedCache(10)
    assert cache.put("a", 1, 4) == []
    assert cache.put("b", 2, 4) == []
    assert cache.get("a") == 1
    assert cache.put("c", 3, 4) == [("b", 2)]
    assert (list(cache), cache.bytes, len(cache)) == (["a", "c"], 8, 2)
    assert cache.get("b") is None
    assert "a" in cache
    assert cache.put("a", 5, 1) == []
    assert (cache.get("a"), cache.bytes) == (5, 5)


def test_what_is_too_large_does_not_stay() -> None:
    cache: ByteBoundedCache[str, int] = ByteBoundedCache(10)
    cache.put("a", 1, 4)
    assert cache.put("b", 2, 11) == [("a", 1), ("b", 2)]
    assert (len(cache), cache.bytes) == (0, 0)
    assert cache.pop("b") is None


Steps = st.lists(st.tuples(st.sampled_from(["put", "get", "pop"]), st.integers(0, 5), st.integers(0, 12)))


@given(Steps)
def test_it_is_the_slow_model(steps: list[tuple[str, int, int]]) -> None:
    cache: ByteBoundedCache[int, int] = ByteBoundedCache(20)
    model: list[tuple[int, int]] = []  # (key, size), the most recently used last; the value is the size
    for action, key, size in steps:
        found = dict(model).get(key)
        rest = [entry for entry in model if entry[0] != key]
        if action == "put":
            cache.put(key, size, size)
            model = [*rest, (key, size)]
            while sum(entry[1] for entry in model) > 20:
                model.pop(0)
        elif action == "get":
            assert cache.get(key) == found
            model = model if found is None else [*rest, (key, found)]
        else:
            assert cache.pop(key) == found
            model = rest
        assert list(cache) == [entry[0] for entry in model]
        assert cache.bytes == sum(entry[1] for entry in model) <= 20
