"""Which rows of one's own tables count, and what they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from tests.data.test_own_tables import shop
from unimp.core.errors import ConfigError, DataError
from unimp.data.dataset import Dataset

ITEMS = "item_id,title\n" + "".join(f"m{n},thing {n}\n" for n in range(1, 7))


def histories(dataset: Dataset) -> dict[str, list[str]]:
    log, ids = dataset.interactions.histories, dataset.catalog.item_ids
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


def imported(tmp_path: Path, events: str, items: str = ITEMS, **options: object) -> Dataset:
    return import_from("csv", shop(tmp_path / "shop", items, events), tmp_path / "out", **options)


LOG = (
    "user_id,item_id,timestamp,what,n\n"
    "u,m1,1,view,1\nu,m2,2,buy,2\nu,m3,3,view,0\nu,m4,4,buy,-1\nu,m5,5,buy,1\nu,m6,6,buy,1\nv,m1,7,cart,3\n"
)


def test_kinds_of_events(tmp_path: Path) -> None:
    dataset = imported(tmp_path, LOG, map=("what=kind",), kinds="buy, cart")
    assert histories(dataset) == {"u": ["m2", "m4", "m5", "m6"], "v": ["m1"]}
    assert "kinds of events: buy 4, view 2, cart 1" in dataset.manifest.notes
    everything = import_from("csv", tmp_path / "shop", tmp_path / "all", map=("what=kind",))
    assert everything.manifest.counts["events"] == 7
    assert any("all count alike, --kinds keeps some only" in note for note in everything.manifest.notes)
    with pytest.raises(DataError, match="--kinds: no event is a 'bought'; known: buy, cart, view"):
        import_from("csv", tmp_path / "shop", tmp_path / "none", map=("what=kind",), kinds="bought")
    with pytest.raises(ConfigError, match=r"events\.csv: no column is the kind; add --map COLUMN=kind"):
        import_from("csv", tmp_path / "shop", tmp_path / "none", kinds="buy")


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("what = 'buy'", ["m2", "m4", "m5", "m6"]),
        ("what in ('buy', 'cart') and n > 0", ["m2", "m5", "m6"]),
        ("n >= 1 or item_id = 'm3'", ["m1", "m2", "m3", "m5", "m6"]),
        ("what <> 'view' AND item_id LIKE 'm%'", ["m2", "m4", "m5", "m6"]),
    ],
)
def test_a_condition(tmp_path: Path, where: str, kept: list[str]) -> None:
    dataset = imported(tmp_path, LOG + "u,m2,0,buy,\n,,,,\n", where=where, deduplicate="last")
    assert histories(dataset)["u"] == kept
    assert any("event(s) left out by --where" in note for note in dataset.manifest.notes)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("colour = 'red'", r'events\.csv has no column "colour"; '),
        ("what = 'buy", "--where what = 'buy: not a condition"),
        ('what = "buy"', "a text stands in single quotes: 'buy'"),
        ("n", "--where n: not a condition"),
        ("n > 'x' + 1", "not a condition"),
        ("read_csv('x')", "not a condition"),
        ("", "not a condition"),
    ],
)
def test_a_condition_that_is_none(tmp_path: Path, where: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        imported(tmp_path, LOG, where=where)
    assert "\n" not in str(raised.value)


def test_a_condition_that_no_event_fits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--where what = 'x': no event fits, of \d+; check its values$"):
        imported(tmp_path, LOG, where="what = 'x'")


def test_weights_and_returns(tmp_path: Path) -> None:
    log = (
        "user_id,item_id,timestamp,qty,w\n"
        "u,m1,1,1,1\nu,m2,2,2,1\nu,m3,3,1,0\nu,m1,4,-1,1\nu,m2,5,-1,1\nu,m4,6,1,\nu,m5,7,,2.5\nu,m6,8,-1,1\n"
    )
    dataset = imported(tmp_path, log, map=("qty=quantity", "w=weight"))
    # m1 came back, of m2 one was kept, m3 has no weight, m6 came back from before
    assert histories(dataset) == {"u": ["m2", "m4", "m5"]}
    assert "4 event(s) of returns and of what was returned left out" in dataset.manifest.notes
    assert "1 event(s) of no weight left out; all others count alike" in dataset.manifest.notes


def test_exact_duplicates_are_told_from_repeats(tmp_path: Path) -> None:
    rows = ["u,m1,5,4", "u,m2,5,4", "u,m1,5,4", "u,m1,5,3", "u,m1,9,4"]
    log = "user_id,item_id,timestamp,rating\n" + "\n".join(rows) + "\n"
    dataset = imported(tmp_path, log)
    assert histories(dataset) == {"u": ["m1", "m2", "m1", "m1", "m1"]}
    assert dataset.manifest.counts["exact_duplicates"] == 1
    assert any(note.startswith("1 event(s) are the same as another") for note in dataset.manifest.notes)
    single = import_from("csv", tmp_path / "shop", tmp_path / "single", deduplicate="exact")
    assert histories(single) == {"u": ["m1", "m2", "m1", "m1"]}
    assert single.manifest.counts["repeats_dropped"] == 1


def test_undated_events_are_shuffled_and_it_is_said(tmp_path: Path) -> None:
    rows = "".join(f"{user},m{n}\n" for user in "abcdefgh" for n in range(1, 7))
    dataset = imported(tmp_path, "user_id,item_id\n" + rows)
    ordered = [f"m{n}" for n in range(1, 7)]
    found = histories(dataset)
    assert list(found) == list("abcdefgh")
    assert all(sorted(history) == ordered for history in found.values())
    assert len({history[-1] for history in found.values()}) > 1
    assert any(
        note.startswith("no column of times: each user's events are in random")
        for note in dataset.manifest.notes
    )
    again = import_from("csv", tmp_path / "shop", tmp_path / "again")
    assert again.data_hash == dataset.data_hash
    kept = import_from("csv", tmp_path / "shop", tmp_path / "kept", undated="file")
    assert set(map(tuple, histories(kept).values())) == {tuple(ordered)}


def test_variants_are_gathered_into_their_product(tmp_path: Path) -> None:
    items = (
        "sku,handle,title,colour\n"
        "s-red,shirt,Shirt,red\ns-blue,shirt,,blue\n,shirt,,\nmug,,Mug,white\nj1,jug,,\nj2,jug,Jug,\n"
    )
    log = "user_id,item_id,timestamp\nu,s-blue,1\nu,j1,2\nu,shirt,3\nu,mug,4\nu,j2,5\n"
    dataset = imported(tmp_path, log, items, map=("sku=id", "handle=variant_of"))
    assert histories(dataset) == {"u": ["shirt", "jug", "shirt", "mug", "jug"]}
    assert dataset.catalog.item(0).attributes == {"title": "Shirt", "colour": "red"}
    assert dataset.catalog.item(2).attributes == {"title": "Jug"}
    assert "5 variants gathered into 3 items" in dataset.manifest.notes


def test_missing_values_and_markup_in_items(tmp_path: Path) -> None:
    items = (
        "item_id,title,colour,tags,price\n"
        "m1,<b>Mug &amp; co</b>,NULL,a||b|-,nan\nm2,None,\"red, dark\",,\nm3,-,-,\"['x, y', 'z']\",4\n"
    )
    log = "user_id,item_id,timestamp\nu,m1,1\nu,m2,2\nu,m3,3\n"
    dataset = imported(tmp_path, log, items, map=("colour=category", "tags=categories", "price=number"))
    assert [dataset.catalog.item(row).attributes for row in range(3)] == [
        {"title": "Mug & co", "tags": "a, b"},
        {"colour": "red, dark"},
        {"tags": "x, y, z", "price": "4"},
    ]
    assert dataset.catalog.terms("tags", 2) == ["x, y", "z"]
    assert any('"NULL" and other words for nothing' in note for note in dataset.manifest.notes)


@pytest.mark.parametrize(
    ("known", "named", "remedy"),
    [
        ("12", "12.0", "read ids as text, not as numbers"),
        ("12.0", "12", "read ids as text, not as numbers"),
        ("012", "12", "read ids as text, not as numbers"),
        ("12", "012", "which lost a leading zero: keep its ids as text"),
        ("caf\u00e9", "cafe\u0301", "write the id alike in both tables"),
        ("A12", "A12\u200b", "write the id alike in both tables"),
        ("AB-1", "ab-1", "write the id alike in both tables"),
        ("AB-1", '" AB-1"', "write the id alike in both tables"),
        ("AB-1", '"""AB-1"""', "write the id alike in both tables"),
    ],
)
def test_the_nearest_id_is_named(tmp_path: Path, known: str, named: str, remedy: str) -> None:
    items, log = f"item_id\n{known}\nother\n", f"user_id,item_id,timestamp\nu,{named},1\nu,other,2\n"
    with pytest.raises(DataError, match=r"^events\.csv:2: unknown item ") as raised:
        imported(tmp_path, log, items)
    assert f'; the catalogue has "{known}"' in str(raised.value)
    assert remedy in str(raised.value)


def test_events_of_a_bad_item_are_no_further_mistakes(tmp_path: Path) -> None:
    items = (
        ITEMS.replace("title", "title,price")
        .replace("\n", ",1\n")
        .replace("price,1", "price")
        .replace("m2,thing 2,1", "m2,thing 2,cheap")
    )
    log = "user_id,item_id,timestamp\n" + "".join(f"u,m{n},{n}\n" for n in (1, 2, 2, 3, 4))
    dataset = imported(tmp_path, log, items, map=("price=number",), max_bad_rows=1)
    assert dataset.manifest.counts["bad_rows"] == 1
    assert dataset.manifest.counts["events_of_bad_items"] == 2
    assert "2 event(s) of items whose row was bad left out" in dataset.manifest.notes
    with pytest.raises(
        DataError, match=r'^items\.csv:3: price is not a number: "cheap"; correct it or leave it empty$'
    ):
        import_from("csv", tmp_path / "shop", tmp_path / "other", map=("price=number",))


def test_nothing_usable_names_the_first_of_all_mistakes(tmp_path: Path) -> None:
    log = "user_id,item_id,timestamp\n" + "".join(f"u,x{n},1\n" for n in range(5))
    with pytest.raises(DataError) as raised:
        imported(tmp_path, log, max_bad_rows=50)
    message = str(raised.value)
    assert message.startswith(
        "events.csv: no usable event; check that it is the right file (5 bad rows, 50 allowed"
    )
    assert "5 × unknown item" in message
    assert all(f'unknown item "x{n}"' in message for n in range(3))
    assert 'unknown item "x3"' not in message


def test_an_order_export_with_a_row_per_line_item(tmp_path: Path) -> None:
    """As Shopify's: later rows of an order repeat its number only; there is no table of items."""
    header = (
        "Name,Email,Financial Status,Paid at,Created at,Lineitem quantity,Lineitem name,Lineitem sku,Notes\n"
    )
    rows = []
    for order in range(12):
        mail, day = f"c{order % 3}@example.org", order + 1
        created = f"2023-04-{day:02} 10:{day:02}:33 +0200"
        rows += [
            f"#10{order:02},{mail},paid,{created},{created},1,Mug <b>blue</b>,MUG-{order % 4},\n",
            f'#10{order:02},{mail},,,{created},2,"Bowl, large",BOWL-{order % 5},"a\nnote"\n',
        ]
    log = tmp_path / "orders_export_1.csv"
    log.write_text(header + "".join(rows), newline="\r\n")
    roles = (
        "Email=user",
        "Lineitem sku=item",
        "Created at=time",
        "Lineitem quantity=quantity",
        "Lineitem name=title",
    )
    dataset = import_from("csv", log, tmp_path / "out", map=roles)
    assert dataset.manifest.counts["users"] == 3
    assert dataset.manifest.counts["events"] == 24
    assert dataset.catalog.label(0) == "Mug blue"
    assert dataset.catalog.label(1) == "Bowl, large"
    assert dataset.interactions.events["timestamp"][0] == 1_680_336_093
    assert any(
        note.startswith("columns of orders_export_1.csv left out: Name, Fin")
        for note in dataset.manifest.notes
    )
