import numpy as np
import pytest

from unimp.evaluate.bench.significance import (
    bootstrap_intervals,
    compare,
    intervals_of,
    over_users,
    sign_flip_p_value,
)


def test_a_constant_has_no_width() -> None:
    (interval,) = bootstrap_intervals(np.full((50, 1), 0.25))
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.25, 0.25, 0.25))


def test_the_interval_is_the_binomial_one() -> None:
    hits = np.zeros((2000, 1))
    hits[:500] = 1.0
    (interval,) = bootstrap_intervals(hits, resamples=4000)
    reach = 1.96 * (0.25 * 0.75 / 2000) ** 0.5
    assert interval.mean == 0.25
    assert interval.low == pytest.approx(0.25 - reach, abs=0.003)
    assert interval.high == pytest.approx(0.25 + reach, abs=0.003)


def test_each_column_has_its_own_interval_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal([0.0, 5.0], [1.0, 0.1], size=(100, 2))
    whole = bootstrap_intervals(values, resamples=200, seed=3)
    assert whole[0].high - whole[0].low > 5 * (whole[1].high - whole[1].low)
    monkeypatch.setattr("unimp.evaluate.bench.significance.BLOCK_ENTRIES", 1000)
    assert np.allclose(
        [i.low for i in whole], [i.low for i in bootstrap_intervals(values, resamples=200, seed=3)]
    )


def test_no_users() -> None:
    assert np.isnan(bootstrap_intervals(np.zeros((0, 1)))[0].mean)


def test_sign_flips_of_three_by_enumeration() -> None:
    # Of the 8 sign patterns of (1, 2, 3) only two reach |sum| = 6.
    assert sign_flip_p_value(np.array([1.0, 2.0, 3.0]), flips=40_000) == pytest.approx(2 / 8, abs=0.01)


def test_equal_methods_are_equal() -> None:
    assert sign_flip_p_value(np.zeros(10)) == 1.0
    assert compare(np.ones(5), np.ones(5)).p_value == 1.0


def test_a_clear_difference_has_the_smallest_p() -> None:
    assert sign_flip_p_value(np.ones(100), flips=999) == pytest.approx(1 / 1000)


def test_under_no_difference_p_is_uniform() -> None:
    random = np.random.default_rng(0)
    p_values = [sign_flip_p_value(random.normal(size=40), flips=400, seed=trial) for trial in range(200)]
    assert 0.02 <= np.mean(np.array(p_values) < 0.1) <= 0.18
    assert 0.4 <= np.mean(p_values) <= 0.6


def test_only_users_scored_by_both_are_compared() -> None:
    comparison = compare(np.array([1.0, np.nan, 1.0, 0.0]), np.array([0.0, 1.0, np.nan, 0.0]))
    assert comparison.difference.mean == 0.5


def test_the_same_seed_gives_the_same_answer() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(size=60), random.normal(size=60)
    assert compare(a, b) == compare(a, b)


def test_intervals_together_are_those_of_each_alone() -> None:
    random = np.random.default_rng(1)
    whole, other, gaps = (random.random((40, columns)) for columns in (2, 1, 2))
    gaps[3:9] = np.nan
    found = intervals_of([whole, gaps, other])
    for table, intervals in zip((whole, gaps[~np.isnan(gaps).any(axis=1)], other), found, strict=True):
        for alone, interval in zip(bootstrap_intervals(table), intervals, strict=True):
            assert (interval.mean, interval.low, interval.high) == pytest.approx(
                (alone.mean, alone.low, alone.high), abs=1e-12
            )


def test_cases_of_one_user_are_resampled_together() -> None:
    hits = np.repeat([0.0, 1.0] * 50, 5)  # a user's five cases are all hit or all missed
    as_cases = bootstrap_intervals(hits[:, None])[0]
    as_users = bootstrap_intervals(over_users(hits, 5)[:, None])[0]
    assert as_users.mean == as_cases.mean == 0.5
    wider = (as_users.high - as_users.low) / (as_cases.high - as_cases.low)
    assert wider == pytest.approx(5**0.5, rel=0.1)


def test_a_user_with_an_unscored_case_is_unscored() -> None:
    values = over_users(np.array([1.0, 0.0, np.nan, 1.0]), 2)
    assert values[0] == 0.5
    assert np.isnan(values[1])
