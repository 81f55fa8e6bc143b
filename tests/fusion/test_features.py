"""Features of cases worked by hand, and what they are made from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import Histories
from unimp.fusion.features import Features
from unimp.fusion.graphs import Relation, cosine, count_pairs, likeness, transitions
from unimp.fusion.groups import NONE, attribute_groups, counts_rows, is_hierarchy, make_groups, prefix_groups
from unimp.fusion.history_view import HistoryView
from unimp.fusion.relations import BOUGHT, PICTURES, WORDS, Relations, build_relations

TRAIN = Histories.from_lists([[0, 1, 2], [0, 1], [0, 3], [4, 5, 4, 5]])
"""Items 0 and 1 had twice together, 0 and 3 once; 6 never."""


def shop(**columns: list[object]) -> Catalog:
    """Seven items with a colour and a price, or the columns given."""
    plain: dict[str, list[object]] = {
        "colour": ["red", "red", "blue", None, "blue", "red", None],
        "price": [1.0, 1.0, np.e, None, 2.0, 2.0, 3.0],
    }
    kinds = {"colour": "category", "price": "number", "title": "text", "path": "categories"}
    chosen = columns if "none" in columns else plain | columns
    chosen.pop("none", None)
    ids = chosen.pop("item_id", [f"x{row}" for row in range(7)])
    items = pl.DataFrame({"item_id": ids, "picture": pl.Series([None] * 7, dtype=pl.String), **chosen})
    attributes = tuple(Attribute(name, kinds[name]) for name in chosen)  # type: ignore[arg-type]
    return Catalog(items, attributes)


def relations_of(catalog: Catalog, pictures: np.ndarray | None = None) -> Relations:
    return build_relations(catalog, TRAIN, pictures=pictures, l2=10.0, decay=0.5)


def row_of(relations: Relations, history: list[int], name: str) -> np.ndarray:
    features = Features(relations, with_model=False)
    past = HistoryView.of(Histories.from_lists([history]), 0, relations.decay)
    return features.catalogue(past, None)[features.names.index(name)]


def test_cosine_counts_users_and_leaves_the_diagonal_out() -> None:
    together, counts = count_pairs(TRAIN, 7)
    weights = cosine(together, counts, dense=True).weights
    assert counts.tolist() == [3, 2, 1, 1, 1, 1, 0]
    assert weights[0, 1] == pytest.approx(2 / np.sqrt(3 * 2))
    assert weights[0, 3] == pytest.approx(1 / np.sqrt(3))
    assert weights[4, 5] == pytest.approx(1.0)  # a repeat counts once
    assert not weights.diagonal().any()
    assert not weights[6].any()


def test_transitions_have_a_direction_and_never_join_two_users() -> None:
    one, two = (transitions(TRAIN, 7, gap).weights.toarray() for gap in (1, 2))
    assert one[0, 1] == pytest.approx(2 / (3 + 2))
    assert one[1, 0] == 0
    assert one[2, 0] == 0  # the last of one user, the first of the next
    assert two[0, 2] == pytest.approx(1 / (1 + 2))


def test_sparse_and_dense_relations_agree() -> None:
    together, counts = count_pairs(TRAIN, 7)
    dense, sparse = (cosine(together.copy(), counts, dense=flag) for flag in (True, False))
    rows, some = np.array([0, 4, 0]), np.array([5, 1, 3, 1])
    np.testing.assert_allclose(dense.rows(rows), sparse.rows(rows), atol=1e-6)
    np.testing.assert_allclose(dense.cells(rows, some), sparse.cells(rows, some), atol=1e-6)
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    np.testing.assert_allclose(
        likeness(vectors, dense=True).rows(np.arange(3)), likeness(vectors, dense=False).rows(np.arange(3))
    )
    assert isinstance(sparse, Relation)


def test_agreement_is_by_recency_and_a_missing_value_agrees_with_nothing() -> None:
    relations = relations_of(shop())
    # decay 1/2: of blue (older) and red (last) the weights are 1/3 and 2/3
    mean = row_of(relations, [2, 0], "same colour: mean")
    np.testing.assert_allclose(mean, [2 / 3, 2 / 3, 1 / 3, 0, 1 / 3, 2 / 3, 0], atol=1e-6)
    assert row_of(relations, [2, 0], "same colour: last").tolist() == [1, 1, 0, 0, 0, 1, 0]
    assert row_of(relations, [0, 3], "same colour: last").tolist() == [0] * 7  # the last has no colour
    assert row_of(relations, [0, 3], "same colour: mean")[6] == 0


def test_price_is_compared_in_logarithms_and_a_missing_one_is_the_mean() -> None:
    relations = relations_of(shop())
    distance = -row_of(relations, [0, 1], "price: distance")
    assert distance[0] == pytest.approx(0.0)
    assert distance[2] == pytest.approx(1.0)
    assert relations.prices is not None
    known = np.log([1, 1, np.e, 2, 2, 3])
    assert distance[3] == pytest.approx(known.mean(), rel=1e-5)


def test_graph_features_of_a_history() -> None:
    relations = relations_of(shop())
    best = row_of(relations, [0, 4], f"{BOUGHT}: best")
    assert best[1] == pytest.approx(2 / np.sqrt(6))
    assert best[5] == pytest.approx(1.0)
    mean = row_of(relations, [0, 4], f"{BOUGHT}: mean")
    assert mean[5] == pytest.approx(np.log(2 / 3 + 1e-3))
    assert row_of(relations, [0, 4], f"{BOUGHT}: last")[1] == pytest.approx(np.log(1e-3))
    assert relations.late.tolist() == pytest.approx(np.log1p([0, 1, 1, 1, 0, 1, 0]).tolist())


def test_what_a_set_lacks_is_left_out_and_said() -> None:
    bare = relations_of(shop(none=[]))
    names = Features(bare, with_model=False).names
    assert not any(name.startswith(("same", "price", "alike")) for name in names)
    assert set(bare.missing) == {
        f"no {WORDS}",
        f"no {PICTURES}",
        "no attribute groups",
        "no price",
        "no times",
    }
    assert np.isfinite(row_of(bare, [0, 1], "popularity")).all()
    pictured = relations_of(shop(none=[]), np.eye(7, 3, dtype=np.float32))
    assert f"{PICTURES}: best" in Features(pictured, with_model=False).names


def test_every_feature_has_its_name_and_is_finite() -> None:
    title = ["a red hat", "a red scarf", "a blue hat", "socks", "socks in blue", "", "a red hat"]
    relations = relations_of(shop(title=title), np.ones((7, 2), dtype=np.float32))
    features = Features(relations, with_model=True)
    past = HistoryView.of(Histories.from_lists([[3]]), 0, relations.decay)
    model = np.log(np.full(7, 1 / 7, dtype=np.float32))
    values = features.catalogue(past, model)
    assert values.shape == (len(features.names), 7)
    close = features.close(past, np.array([0, 6]), np.zeros(2, np.float32), model)
    assert close.shape == (len(features.close_names), 2)
    assert np.isfinite(values).all()
    assert np.isfinite(close).all()
    names = features.names + features.close_names
    assert len(set(names)) == len(names)


def test_an_item_without_events_stands_where_those_like_it_stand() -> None:
    """Item 6 was never had; it reads like item 1 alone, so it goes with what item 1 goes with."""
    title = ["hat", "red scarf", "blue hat", "socks", "shoes", "boots", "red scarf"]
    relations = relations_of(shop(none=[], title=title))
    best = row_of(relations, [0], f"{BOUGHT}: best")
    assert best[6] == pytest.approx(best[1]) == pytest.approx(2 / np.sqrt(6))
    assert relations.popularity[6] == pytest.approx(relations.popularity[1])
    after = row_of(relations, [6], f"{BOUGHT}: best")
    np.testing.assert_allclose(after[:6], row_of(relations, [1], f"{BOUGHT}: best")[:6], atol=1e-6)
    bare = relations_of(shop(none=[]))
    assert bare.popularity[6] == 0


def test_own_likeness_is_left_out() -> None:
    title = ["a red hat", "a red hat", "a blue hat", "socks", "socks in blue", "", "shoes"]
    relations = relations_of(shop(title=title))
    best = row_of(relations, [0], f"{WORDS}: best")
    assert best[0] == 0
    assert best[1] == pytest.approx(1.0, abs=1e-5)


def test_paths_give_levels_and_sets_do_not() -> None:
    paths = [
        ("Makeup", "Nails"),
        ("Makeup", "Eyes"),
        ("Skin", "Face"),
        ("Skin", "Face"),
        (),
        ("Makeup", "Nails"),
    ]
    assert is_hierarchy(paths)
    assert not is_hierarchy([("Drama", "Comedy"), ("Comedy", "War"), ("War", "Drama"), ("Drama", "War")])
    cells = [*map(list, paths), ["Makeup", "Eyes"]]
    found = {groups.name: groups for groups in attribute_groups(shop(none=[], path=cells))}
    assert set(found) == {"same path", "same path level 1"}
    top = found["same path level 1"].codes
    assert top[0] == top[1] == top[6] != top[2]
    assert top[4] == NONE


def test_prefixes_of_ids_are_groups_only_where_the_log_bears_them_out() -> None:
    train = Histories.from_lists([[0, 1], [1, 0], [2, 3], [4, 5], [5, 4], [3, 2]])
    catalog = shop(item_id=["70x1", "70x2", "81x1", "81x2", "92x1", "92x2", "93x1"])
    fine, *_ = prefix_groups(catalog, train)
    assert fine.codes.tolist() == [0, 0, 1, 1, 2, 2, fine.codes[6]]
    # The same log over ids whose beginnings say nothing of it.
    mixed = shop(item_id=["70x1", "81x1", "81x2", "92x1", "92x2", "70x2", "93x1"])
    assert prefix_groups(mixed, train) == []


def test_ids_that_count_rows_are_never_read() -> None:
    """Numbers given in the order of the log would tell who stood beside whom, held-back events included."""
    assert counts_rows([str(row) for row in range(100, 107)])
    assert not counts_rows(["0111565001", "0915529003", "0706016001"])
    assert prefix_groups(shop(item_id=[str(row) for row in range(100, 107)]), TRAIN) == []


def test_groups_without_company_are_none() -> None:
    assert make_groups("x", [f"{row}" for row in range(50)]) is None
    assert make_groups("x", ["a"] * 5) is None
    assert make_groups("x", ["a", "a", None, "b"]) is not None
