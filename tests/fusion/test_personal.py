"""What a user's earlier choices say of each relation; words that users' items share; price levels."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fusion.test_features import TRAIN, shop

from unimp.data.histories import Histories
from unimp.fusion.features import Features
from unimp.fusion.foretold import foretold_by_last, foretold_by_others
from unimp.fusion.history_view import HistoryView
from unimp.fusion.relations import build_relations, price_levels, recount
from unimp.fusion.words import shared_word_vectors


def view(rows: list[int]) -> HistoryView:
    return HistoryView.of(Histories.from_lists([rows]), 0, 1.0)


def test_a_history_of_like_items_was_foretold_by_likeness() -> None:
    """Items 0-3 are alike, 4-7 too; by hand for one of the histories."""
    alike = np.kron(np.eye(2), np.ones((4, 4))).astype(np.float32)
    np.fill_diagonal(alike, 0.0)
    together, mixed = view([0, 1, 2]), view([0, 5, 2])
    found = foretold_by_others(alike[together.rows], together)
    mean = alike[together.rows].mean(axis=0)
    assert found == pytest.approx((1.0 - mean.mean()) / mean.std(), rel=1e-4)
    assert found > foretold_by_others(alike[mixed.rows], mixed)
    assert foretold_by_others(alike[[3]], view([3])) == 0.0


def test_an_order_that_came_true_was_foretold() -> None:
    after = np.zeros((4, 4), dtype=np.float32)
    after[0, 1] = after[1, 2] = 0.5
    assert foretold_by_last(after[[0, 1, 2]], view([0, 1, 2])) == 0.5
    assert foretold_by_last(after[[2, 1, 0]], view([2, 1, 0])) == 0.0
    assert foretold_by_last(after[[2]], view([2])) == 0.0


def test_words_that_users_share_count_and_others_do_not() -> None:
    """Users stay with one line; fillers are drawn without regard to it."""
    titles: list[object] = [
        "north oak",
        "north elm",
        "north ash",
        "south oak",
        "south elm",
        "south ash",
        "oak",
    ]
    train = Histories.from_lists([[0, 1, 2], [1, 2, 0], [2, 0, 1], [3, 4, 5], [4, 5, 3], [5, 3, 4]])
    vectors = shared_word_vectors(shop(none=[], title=titles), train)
    assert vectors is not None
    alike = (vectors @ vectors.T).toarray()
    assert alike[0, 1] == pytest.approx(1.0, abs=1e-5)  # one line, although the fillers differ
    assert alike[0, 3] == pytest.approx(0.0, abs=1e-5)  # a filler in common is nothing in common
    assert shared_word_vectors(shop(none=[], price=[1.0] * 7), train) is None


def test_a_price_level_is_what_an_item_costs_for_its_kind() -> None:
    kinds: list[object] = [kind for kind in ("bag", "mug") for _ in range(10)]
    prices = [base * 2.0**step for base in (50.0, 5.0) for step in range(10)]
    from unimp.fusion.groups import make_groups
    from unimp.fusion.relations import Grouped

    groups = make_groups("same kind", [str(kind) for kind in kinds])
    assert groups is not None
    grouped = Grouped(groups, groups.codes, None, np.zeros(3, dtype=np.float32))
    levels = price_levels(np.log(np.array(prices, dtype=np.float32)), [grouped])
    assert levels is not None
    np.testing.assert_allclose(levels[:10], levels[10:], rtol=1e-4, atol=1e-5)
    assert (np.diff(levels[:10]) > 0).all()
    assert price_levels(None, [grouped]) is None


def test_personal_features_are_there_only_where_they_are_asked_for() -> None:
    catalog = shop(title=["red one", "red two", "blue one", "one", "blue two", "red", "two"])
    plain, personal = (
        build_relations(catalog, TRAIN, pictures=None, l2=10.0, decay=0.5, personal=asked)
        for asked in (False, True)
    )
    names = [set((f := Features(one, with_model=False)).names + f.close_names) for one in (plain, personal)]
    added = names[1] - names[0]
    assert names[0] < names[1]
    assert {"no events", "next: last, as it foretold", "next: foretold"} <= added
    assert not any("foretold" in name or name == "no events" for name in names[0])
    grown = recount(personal, Histories.from_lists([[6, 1]]), l2=10.0)
    assert grown.personal is personal.personal  # what had no event when weights were fitted stays that
    assert Features(grown, with_model=False).names == Features(personal, with_model=False).names
