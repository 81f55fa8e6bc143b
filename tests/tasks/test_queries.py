"""The rule of queries: shared values alone, true of every positive, never the target itself."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import polars as pl
import pytest

from tests.six import Six
from tests.tasks.corner_shop import CATALOG, context, held_out
from unimp.data.catalog import Attribute, Catalog
from unimp.data.review_sentences import tokens_of
from unimp.tasks import queries
from unimp.tasks.queries import MIN_ITEMS, MOST_VALUES, Posed, QueryMaker
from unimp.tasks.search.task import SearchTask

TAGGED = Catalog(
    pl.DataFrame(
        {
            "item_id": [f"f{row}" for row in range(30)],
            "picture": [f"{row}.png" if row % 3 else None for row in range(30)],
            "title": [f"Film {row}" for row in range(30)],
            "genres": [
                [["Drama", "Comedy", "War"][k % 3] for k in range(row % 4)] + (["Rare"] if row < 4 else [])
                for row in range(30)
            ],
            "country": [None if row % 7 == 0 else ["Drama", "Peru"][row % 2] for row in range(30)],
            "year": [1990.0 + row % 2 for row in range(30)],
        }
    ),
    (
        Attribute("title", "category"),
        Attribute("genres", "categories"),
        Attribute("country", "category"),
        Attribute("year", "number"),
    ),
    "title",
)
"""Lists of values, a title that is a category, and a country with a genre's name."""


@cache
def posed_often(seeds: int = 60) -> list[tuple[int, Posed]]:
    maker = QueryMaker(TAGGED)
    found = [
        (row, maker.pose(row, "u", np.random.default_rng([s, row])))
        for s in range(seeds)
        for row in range(30)
    ]
    return [(row, posed) for row, posed in found if posed is not None]


def values_of(catalog: Catalog, row: int) -> set[tuple[str, str]]:
    pairs = set()
    for attribute in catalog.attributes:
        value = catalog.items[attribute.name][row]
        if attribute.kind == "category" and value is not None:
            pairs.add((attribute.name, value))
        elif attribute.kind == "categories":
            pairs |= {(attribute.name, one) for one in value.to_list()}
    return pairs


def test_values_are_shared_and_none_is_the_title() -> None:
    owners = Counter(pair for row in range(30) for pair in values_of(TAGGED, row))
    maker = QueryMaker(TAGGED)
    expected = {p for p, count in owners.items() if MIN_ITEMS <= count < 30 and p[0] != "title"}
    assert set(maker.members) == expected
    assert ("genres", "Rare") not in maker.members
    for (field, value), rows in maker.members.items():
        assert rows.tolist() == [row for row in range(30) if (field, value) in values_of(TAGGED, row)]


def test_a_made_query_says_values_of_its_item_and_nothing_else() -> None:
    maker = QueryMaker(TAGGED)
    sizes = set()
    for row in range(30):
        for seed in range(40):
            values = maker.choose_values(row, np.random.default_rng(seed))
            assert len(values) <= MOST_VALUES
            assert set(values) <= values_of(TAGGED, row) & set(maker.members)
            assert len({field for field, _ in values}) == len(values)
            assert len({value for _, value in values}) == len(values)  # not the same word twice
            sizes.add(len(values))
    assert sizes == {0, 1, 2}


def test_positives_really_satisfy_and_hold_the_target() -> None:
    maker = QueryMaker(TAGGED)
    kinds = Counter()  # type: ignore[var-annotated]
    for row, posed in posed_often():
        assert posed.positives is not None
        assert row in posed.positives
        assert len(posed.positives) >= 1
        assert posed.positives.tolist() == sorted(set(posed.positives.tolist()))
        kinds[bool(posed.query.text), posed.query.has_picture] += 1
        if posed.query.text:
            said = posed.query.text.split()
            for positive in posed.positives.tolist():
                assert set(said) <= {value for _, value in values_of(TAGGED, positive)}
            wanted = [
                p for p in range(30) if set(said) <= {v for _, v in values_of(TAGGED, p) & set(maker.members)}
            ]
            assert set(posed.positives.tolist()) <= set(wanted)
    assert min(kinds[True, False], kinds[False, True], kinds[True, True]) > 20
    assert kinds[False, False] == 0


def test_a_picture_query_shows_another_item_that_satisfies_it() -> None:
    shown = [(row, posed) for row, posed in posed_often() if posed.query.has_picture]
    assert shown
    for row, posed in shown:
        assert posed.query.picture_row != row
        assert posed.positives is not None
        assert posed.query.picture_row in posed.positives
        assert TAGGED.picture_references[posed.query.picture_row] is not None


def test_no_made_query_of_the_shop_holds_a_title(six: Six) -> None:
    catalog = six.dataset.catalog
    maker = QueryMaker(catalog)
    for row in range(len(catalog)):
        posed = maker.pose(row, "nobody", np.random.default_rng(row))
        if posed is not None and posed.query.text:
            assert catalog.label(row).lower() not in posed.query.text.lower()
            for field, value in values_of(catalog, row):
                if (field, value) not in maker.members:
                    assert value.lower() not in posed.query.text.lower()


LOGGED = pl.DataFrame(
    {
        "user_id": ["ann", "ann", "ann", "bob", None],
        "item_row": [8, 8, 3, 8, 8],
        "timestamp": [0, 1, 2, 3, 4],
        "text": ["a warm mug ", "thing8 please", "lamp thing5", "!!", "mug"],
    }
)


def test_logged_queries_obey_the_rule() -> None:
    """A word of a single title gives its own item away, not another; words must be there."""
    assert dict(QueryMaker(CATALOG, LOGGED).logged) == {
        ("ann", 8): ["a warm mug"],
        ("ann", 3): ["lamp thing5"],
    }


def test_the_shops_logged_queries_obey_the_rule(six: Six) -> None:
    catalog = six.dataset.catalog
    titles = [set(tokens_of(catalog.label(row))) for row in range(len(catalog))]
    spread = Counter(word for words in titles for word in words)
    logged = six.artifacts.context.queries.logged
    assert len(logged) > 50
    for (_, row), texts in logged.items():
        for text in texts:
            assert all(spread[word] != 1 for word in set(tokens_of(text)) & titles[row])


def test_a_logged_query_is_its_users_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "LOGGED_SHARE", 1.0)
    maker = QueryMaker(CATALOG, LOGGED)
    mine, other = (maker.pose(8, user, np.random.default_rng(0)) for user in ("ann", "bob"))
    assert mine is not None
    assert mine.query.text == "a warm mug"
    assert mine.positives is None
    assert other is not None
    assert other.positives is not None


def test_nothing_to_ask_is_none() -> None:
    assert QueryMaker(CATALOG).pose(11, "u", np.random.default_rng(0)) is not None
    bare = Catalog(CATALOG.items, (Attribute("title", "text"),), "title")
    assert QueryMaker(bare).pose(3, "ann", np.random.default_rng(0)) is None
    only_logged = QueryMaker(bare, LOGGED).pose(3, "ann", np.random.default_rng(0))
    assert only_logged is not None
    assert only_logged.query.text == "lamp thing5"


def test_the_same_event_has_the_same_query() -> None:
    first, second = (SearchTask(context()).queries(held_out()) for _ in range(2))
    assert [posed and posed.query for posed in first] == [posed and posed.query for posed in second]
    assert first[0] is not None


def test_a_case_keeps_its_query_in_any_company(six: Six) -> None:
    task, cases = six.task("search"), six.split.test
    together = task.queries(cases)
    few = np.arange(len(cases))[::-7]
    alone = task.queries(cases.select(few))
    assert [together[row].query for row in few.tolist()] == [posed.query for posed in alone]
