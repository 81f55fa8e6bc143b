"""What a relation rests on: which items of the history, and in which order."""

from __future__ import annotations

import numpy as np
from tests.fusion.test_features import relations_of, shop

from unimp.fusion.evidence import evidence, latest_once

# The log of `test_features`: 0 and 1 were bought together by two users, 0 and 3 by one; 1 came after 0.


def test_a_shared_value_lists_the_latest_first_each_once() -> None:
    relations = relations_of(shop())
    found = evidence(relations, "same colour", latest_once(np.array([0, 1, 2, 0])), 5)
    assert (found.kind, found.attribute, found.rows) == ("value", "colour", (0, 1))
    neither = evidence(relations, "same colour", latest_once(np.array([3, 6])), 6)
    assert neither.rows == ()  # no value agrees with none


def test_a_graph_lists_what_is_related_strongest_first() -> None:
    relations = relations_of(shop())
    bought = evidence(relations, "bought together", latest_once(np.array([3, 6, 1])), 0)
    assert (bought.kind, bought.rows) == ("bought", (1, 3))
    linear = evidence(relations, "bought together (linear model)", latest_once(np.array([3, 6, 1])), 0)
    assert (linear.kind, linear.rows) == ("bought", (1, 3))  # those whom somebody had with it
    after = evidence(relations, "next", latest_once(np.array([2, 0])), 1)
    assert (after.kind, after.rows) == ("next", (0,))


def test_likeness_of_pictures_and_what_rests_on_no_item() -> None:
    pictures = np.eye(7, 3, dtype=np.float32)
    pictures[5] = [0.6, 0.8, 0.0]
    relations = relations_of(shop(), pictures)
    alike = evidence(relations, "alike in pictures", latest_once(np.array([0, 2, 1])), 5)
    assert (alike.kind, alike.rows) == ("pictures", (1, 0))
    price = evidence(relations, "price", latest_once(np.array([0, 2])), 5)
    assert (price.kind, price.rows) == ("other", ())
