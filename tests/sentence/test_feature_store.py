"""Features by content: nothing is made twice, whatever the order, and a damaged file costs only time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unimp.features import cache as feature_cache
from unimp.features.cache import FeatureStore, HalfArray, content_key


class Making:
    """Each content's features are its number; remembers what it was asked for."""

    def __init__(self, contents: list[int | None]) -> None:
        self.contents = contents
        self.asked: list[int | None] = []

    @property
    def keys(self) -> list[bytes | None]:
        return [None if one is None else content_key(str(one).encode()) for one in self.contents]

    def __call__(self, rows: list[int]) -> HalfArray:
        chosen = [self.contents[row] for row in rows]
        self.asked += chosen
        return np.array([[one, -(one or 0)] for one in chosen], dtype=np.float16)


def get(store: FeatureStore, contents: list[int | None]) -> tuple[HalfArray, list[int | None]]:
    making = Making(contents)
    return store.get_or_make(making.keys, making), making.asked


def test_each_content_is_made_once_and_its_place_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "PART", 2)
    store = FeatureStore(tmp_path / "encoder")
    found, asked = get(store, [5, None, 7, 5, 9])
    assert found[:, 0].tolist() == [5, 0, 7, 5, 9]
    assert found.dtype == np.float16
    assert sorted(one or 0 for one in asked) == [5, 7, 9]
    again, asked = get(store, [5, None, 7, 5, 9])
    assert np.array_equal(again, found)
    assert asked == []
    moved, asked = get(store, [9, 11, 5])
    assert moved[:, 1].tolist() == [-9, -11, -5]
    assert asked == [11]
    assert not list(tmp_path.rglob("part-*")), "parts are joined in the end"
    assert isinstance(found, np.memmap) or found.base is not None


def test_what_was_made_before_a_kill_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "PART", 2)
    store, making = FeatureStore(tmp_path), Making([1, 2, 3, 4])

    def killed(rows: list[int]) -> HalfArray:
        if len(making.asked) == 2:
            raise KeyboardInterrupt
        return making(rows)

    with pytest.raises(KeyboardInterrupt):
        store.get_or_make(making.keys, killed)
    found, asked = get(store, [1, 2, 3, 4])
    assert found[:, 0].tolist() == [1, 2, 3, 4]
    assert len(asked) == 2
    assert not list(tmp_path.glob("part-*")), "the killed run's parts too are joined in the end"


def test_another_encoder_knows_nothing_of_it(tmp_path: Path) -> None:
    get(FeatureStore(tmp_path / "one"), [1, 2])
    assert get(FeatureStore(tmp_path / "two"), [1, 2])[1] == [1, 2]


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    get(store, [1, 2])
    next(tmp_path.glob("*.npy")).write_bytes(b"half a file")
    found, asked = get(store, [1, 2])
    assert found[:, 0].tolist() == [1, 2]
    assert asked == [1, 2]


def test_a_place_that_cannot_be_written_costs_only_the_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    found, _ = get(FeatureStore(tmp_path / "file"), [3, 4])
    assert found[:, 0].tolist() == [3, 4]
