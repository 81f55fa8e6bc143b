"""Means, biases and factors: by hand, folded in, and against each other."""

from __future__ import annotations

import numpy as np
import pytest

from unimp.answer import Rater
from unimp.core.errors import DataError
from unimp.data.histories import NO_TIME, Histories
from unimp.tasks.rating.factors import BiasedMF, BiasedMFConfig, hold_out, solve_side
from unimp.tasks.rating.references import BiasConfig, BiasModel, GlobalMean, ItemMean, UserMean

SMALL = BiasedMFConfig(ranks=(0, 2), l2_bias=1.0, l2_factors=1.0, max_sweeps=12)


def rated(rows: list[list[int]], ratings: list[list[float]]) -> Histories:
    plain = Histories.from_lists(rows)
    values = np.array([value for part in ratings for value in part], dtype=np.float32)
    times = np.full(len(values), NO_TIME, dtype=np.int64)
    return Histories(plain.user_ids, plain.offsets, plain.item_rows, values, times, plain.event_rows)


def world(users: int = 60, items: int = 25, taste: float = 1.0, seed: int = 0) -> Histories:
    """Every user rates most items: a bias of each, and one direction of taste."""
    rng = np.random.default_rng(seed)
    user_bias, item_bias = rng.normal(0, 0.5, users), rng.normal(0, 0.5, items)
    sides, attention_maps = rng.choice([-1, 1], users), rng.choice([-1, 1], items)
    rows = [rng.permutation(items)[:15] for _ in range(users)]
    ratings = [
        3
        + user_bias[user]
        + item_bias[own]
        + taste * sides[user] * attention_maps[own]
        + rng.normal(0, 0.1, 15)
        for user, own in enumerate(rows)
    ]
    return rated([own.tolist() for own in rows], [own.tolist() for own in ratings])


TRAIN = rated([[0, 1], [0]], [[5.0, 3.0], [4.0]])


def raters(train: Histories) -> list[Rater]:
    return [
        *(GlobalMean.fit(train), UserMean.fit(train), ItemMean.fit(train), BiasModel.fit(train)),
        BiasedMF.fit(train, SMALL),
    ]


def test_means_by_hand() -> None:
    asked, rows = rated([[0, 1], []], [[5.0, 2.0], []]), np.array([1, 0])
    assert GlobalMean.fit(TRAIN).rate(asked, rows).tolist() == [4.0, 4.0]
    # (1 - 2) / (2 + 2); no rating
    assert UserMean.fit(TRAIN, l2=2.0).rate(asked, rows).tolist() == [3.75, 4.0]
    # item 1 has one rating, 1 below; item 0 two, 1 above and 0
    assert ItemMean.fit(TRAIN, l2=1.0).rate(asked, rows) == pytest.approx([4 - 1 / 2, 4 + 1 / 3])


def test_biases_solve_their_own_equations() -> None:
    train = world()
    config = BiasConfig(l2_user=2.0, l2_item=3.0, sweeps=50)
    model = BiasModel.fit(train, config)
    users = model.user_biases(train)
    left = train.ratings - model.mean - users[train.owners()]
    row = 7
    mine = left[train.item_rows == row]
    assert model.item_biases[row] == pytest.approx(mine.sum() / (len(mine) + 3.0), abs=1e-4)


def test_a_side_is_the_ridge_solution() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 0, 0, 2, 2])
    others = rng.normal(size=(6, 3)).astype(np.float32)
    values = rng.normal(size=6).astype(np.float32)
    solved = solve_side(groups, others, values, 3, np.array([1.0, 2.0, 2.0], dtype=np.float32))
    inputs = np.hstack([np.ones((4, 1)), others[:4, 1:]])
    expected = np.linalg.solve(
        inputs.T @ inputs + np.diag([1, 2, 2]), inputs.T @ (values[:4] - others[:4, 0])
    )
    assert solved[0] == pytest.approx(expected, abs=1e-5)
    assert solved[1].tolist() == [0.0, 0.0, 0.0]


def test_factors_beat_biases_where_there_is_taste() -> None:
    log = world(taste=0.8)
    train, asked = log.first(14), log.item_rows[log.offsets[1:] - 1]
    truth = log.ratings[log.offsets[1:] - 1]
    biased, factored = BiasModel.fit(train), BiasedMF.fit(train, SMALL)
    assert factored.rank == 2
    errors = [np.abs(model.rate(train, asked) - truth).mean() for model in (biased, factored)]
    assert errors[1] < 0.5 * errors[0]


def test_rank_zero_is_chosen_where_biases_say_all() -> None:
    assert BiasedMF.fit(world(taste=0.0), SMALL).rank == 0


def test_the_asked_history_is_folded_in() -> None:
    train = world()
    for model in (BiasModel.fit(train), BiasedMF.fit(train, SMALL)):
        low, high = rated([[1, 2, 3]], [[1.0, 1.0, 1.0]]), rated([[1, 2, 3]], [[5.0, 5.0, 5.0]])
        assert model.rate(high, np.array([4]))[0] > model.rate(low, np.array([4]))[0] + 0.5


def test_every_rater_answers_strange_questions() -> None:
    asked = rated([[], [0], [900, 1]], [[], [np.nan], [5.0, 1.0]])
    for model in raters(world()):
        answers = model.rate(asked, np.array([-1, 900, 3]))
        assert answers.shape == (3,)
        assert np.isfinite(answers).all()
        alone = model.rate(asked.select([2]), np.array([3]))
        assert answers[2] == pytest.approx(alone[0], abs=1e-5)


def test_forecasts_stay_in_the_range_of_the_ratings() -> None:
    train = world(taste=2.0)
    for model in (BiasModel.fit(train), BiasedMF.fit(train, SMALL)):
        answers = model.rate(train, train.item_rows[train.offsets[:-1]])
        assert answers.min() >= train.ratings.min()
        assert answers.max() <= train.ratings.max()


def test_the_hold_out_is_the_latest_part_of_a_history() -> None:
    log = rated([[0, 1, 2, 3], [4, 5]], [[1, 2, 3, 4], [5, 5]])
    learned, held = hold_out(log, 0.3)
    assert learned.item_rows.tolist() == [0, 1, 4, 5]
    assert (held.users.tolist(), held.item_rows.tolist(), held.values.tolist()) == ([0, 0], [2, 3], [3, 4])


def test_the_same_seed_gives_the_same_factors() -> None:
    first, second = (BiasedMF.fit(world(), SMALL, seed=3) for _ in range(2))
    assert np.array_equal(first.items, second.items)


def test_a_log_without_ratings_is_refused() -> None:
    with pytest.raises(DataError, match="ratings"):
        BiasModel.fit(Histories.from_lists([[0, 1]]))
