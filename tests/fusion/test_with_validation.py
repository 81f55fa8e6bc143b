"""The log with the validation items, and the relations counted on it."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Cases, Histories
from unimp.fusion.config import FusionConfig
from unimp.fusion.fused import FusionMaker
from unimp.fusion.with_validation import with_validation
from unimp.testing.world import toy_world


def as_lists(histories: Histories) -> dict[str, list[int]]:
    return {str(name): histories.items_of(user).tolist() for user, name in enumerate(histories.user_ids)}


def test_targets_stand_behind_their_histories() -> None:
    train = Histories.from_lists([[1, 2], [3], [4, 5]], ["a", "b", "c"])
    asked = Histories.from_lists([[1, 2], [4, 5], [6]], ["a", "c", "new"])
    cases = Cases(asked, np.array([7, -1, 8]), np.array([20, -1, 21]))
    grown = with_validation(train, cases)
    # The target of c is outside the catalogue.
    assert as_lists(grown) == {"b": [3], "c": [4, 5], "a": [1, 2, 7], "new": [6, 8]}
    assert grown.event_rows[grown.item_rows == 7].tolist() == [20]


def test_of_a_leave_one_out_split_it_is_all_but_the_test() -> None:
    world = toy_world()
    grown = with_validation(world.split.train, world.split.valid)
    assert as_lists(grown) == as_lists(world.split.test.histories)


def test_relations_to_rank_by_are_counted_on_it_and_those_to_fit_by_are_not() -> None:
    world, config = toy_world(), FusionConfig(kind="learned")
    maker = FusionMaker(world.training)
    before, after = maker.relations(config), maker.relations_with_validation(config)
    events = np.bincount(world.split.train.item_rows, minlength=61)
    targets = np.bincount(world.split.valid.target_rows, minlength=61)
    np.testing.assert_allclose(np.expm1(before.popularity[:60]), events[:60], rtol=1e-5)
    np.testing.assert_allclose(np.expm1(after.popularity[:60]), (events + targets)[:60], rtol=1e-5)
    assert after.likenesses is before.likenesses
    assert list(after.log_graphs) == list(before.log_graphs)
