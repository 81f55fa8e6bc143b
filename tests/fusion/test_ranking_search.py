"""`RankingSearch`: blocks of cases change no share and no rank, ties included."""

from __future__ import annotations

import numpy as np
import pytest

from unimp.core.errors import ConfigError
from unimp.data.histories import Cases, FloatArray, Histories
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import RankingSearch
from unimp.metrics.ranking import rank_cases, users_at_a_time

CASES, ITEMS = 90, 25_000
CONFIG = StructureConfig(weights=(0.5, 2.0), popularity_weights=(0.25,), recencies=(1.0, 0.5))


@pytest.fixture
def cases() -> Cases:
    rng = np.random.default_rng(0)
    histories = Histories.from_lists([rng.integers(ITEMS, size=3).tolist() for _ in range(CASES)])
    return Cases(histories, rng.integers(ITEMS, size=CASES), np.full(CASES, -1, dtype=np.int64))


def few_values(cases: Cases, seed: int) -> FloatArray:
    """[N, I] whole numbers, so that many items tie; the target is high now and then."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(40, size=(len(cases), ITEMS)).astype(np.float32)
    chosen = np.flatnonzero(rng.random(len(cases)) < 0.5)
    scores[chosen, cases.target_rows[chosen]] += rng.integers(38, 44, size=len(chosen))
    return scores


def search(cases: Cases, sizes: list[int]) -> RankingSearch:
    tables = {name: few_values(cases, seed) for seed, name in enumerate(("model", "log", "popularity"))}

    def alone(block: Cases, start: int) -> FloatArray:
        sizes.append(len(block))
        return tables["model"][start : start + len(block)].copy()

    def unit(name: str, recency: float, block: Cases, start: int) -> FloatArray:
        if name == "popularity":
            return tables[name][:1]
        return np.float32(recency) * tables[name][start : start + len(block)]

    return RankingSearch(cases, ITEMS, alone, unit)


def test_blocks_find_what_the_whole_matrix_finds(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_sizes: list[int] = []
    block_sizes: list[int] = []
    whole = search(cases, whole_sizes).fit(["log", "popularity"], CONFIG)
    assert set(whole_sizes) == {CASES}
    monkeypatch.setenv("UNIMP_SCORE_MIB", "1")
    blocked = search(cases, block_sizes).fit(["log", "popularity"], CONFIG)
    assert max(block_sizes) == 10  # 1 MiB of 25,000 floats
    assert whole.reached["round 2: popularity"] > whole.reached["model alone"]
    assert blocked == whole


def test_ranks_in_blocks_are_those_of_the_whole_matrix(cases: Cases) -> None:
    scores = few_values(cases, 5)
    place = {user: row for row, user in enumerate(cases.histories.user_ids.tolist())}

    class Table:
        def score(self, histories: Histories) -> FloatArray:
            return scores[[place[user] for user in histories.user_ids.tolist()]]

    whole = rank_cases(Table(), cases, batch_size=CASES)
    assert (whole % 1 == 0.5).any()  # mean ranks of ties
    for size in (1, 7):
        np.testing.assert_array_equal(rank_cases(Table(), cases, batch_size=size), whole)


def test_the_setting_bounds_how_many_users_are_scored_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert users_at_a_time(3_000) == 512
    assert users_at_a_time(10_000_000) == 1
    monkeypatch.setenv("UNIMP_SCORE_MIB", "400")
    assert users_at_a_time(1_000_000) == 104
    monkeypatch.setenv("UNIMP_SCORE_MIB", "much")
    with pytest.raises(ConfigError, match="UNIMP_SCORE_MIB=much: expected a number of MiB"):
        users_at_a_time(10)
