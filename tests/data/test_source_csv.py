from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from unimp.core.errors import ConfigError, DataError

PRODUCTS = "sku,name,tags,stock\n01,One,a | b,3\n02,Two,,\n03,Three,c,1\n"
ORDERS = "buyer,sku,at,stars,channel\nx,01,2020-01-03,2.5,web\nx,02,2020-01-02,,web\nx,03,2020-01-01,5,app\n"
MAP = ("sku=id", "name=title", "tags=categories", "stock=number", "buyer=user", "at=time", "stars=rating")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "products.csv").write_text(PRODUCTS)
    (tmp_path / "orders.csv").write_text(ORDERS)
    return tmp_path


def test_a_mapping_on_the_command_line(folder: Path) -> None:
    (folder / "orders.csv").write_text(ORDERS.replace("buyer,sku", "buyer,article"))
    dataset = import_from(
        "csv", folder, folder / "out",
        items="products.csv", events="orders.csv", map=(*MAP, "article=item"), rating_scale="0:5:0.5",
    )  # fmt: skip
    assert dataset.catalog.title == "name"
    assert dataset.catalog.item(0).attributes == {"name": "One", "tags": "a, b", "stock": "3"}
    assert dataset.catalog.item(1).attributes == {"name": "Two"}
    assert dataset.interactions.histories.items_of(0).tolist() == [2, 1, 0]
    assert dataset.interactions.events["rating"].to_list() == [5, None, 2.5]
    assert "columns of orders.csv left out: channel" in dataset.manifest.notes


def test_a_mapping_file_says_the_same(folder: Path) -> None:
    (folder / "map.toml").write_text(
        'items = "products.csv"\nevents = "orders.csv"\nrating_scale = "0:5:0.5"\n'
        '[item_columns]\nsku = "id"\nname = "title"\ntags = "categories"\nstock = "ignore"\n'
        '[event_columns]\nbuyer = "user"\nsku = "item"\nat = "time"\nstars = "rating"\n'
    )
    dataset = import_from("csv", folder, folder / "out", mapping=folder / "map.toml")
    assert dataset.catalog.item(0).attributes == {"name": "One", "tags": "a, b"}
    assert dataset.manifest.counts["events"] == 3


def test_milliseconds(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id\na\nb\nc\n")
    (folder / "events.csv").write_text("user_id,item_id,ms\nu,a,1588687728923\nu,b,2000\nu,c,1000\n")
    dataset = import_from("csv", folder, folder / "out", map=("ms=time_ms",))
    assert dataset.interactions.events["timestamp"].to_list() == [1, 2, 1_588_687_728]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"map": ("sku",)}, "--map sku: expected column=role, such as sku=id"),
        ({"map": ("sku=ident",)}, "--map sku=ident: unknown role 'ident'; did you mean \"id\""),
        ({"map": (*MAP, "titel=text")}, r'products\.csv: has no column "titel"; did you mean|known'),
        ({"map": (*MAP, "nam=title")}, r'products\.csv: has no column "nam"; did you mean "name"'),
        ({"map": (*MAP, "nothing=ignore")}, r'products\.csv: has no column "nothing"'),
        (
            {"map": ("name=title",)},
            r"products\.csv: no column is the id; add --map COLUMN=id; known: sku, name",
        ),
        ({"map": ("sku=id",)}, r"orders\.csv: no column is the user; add --map COLUMN=user"),
        ({"map": (*MAP, "tags=title")}, r"products\.csv: two columns are mapped to 'title'"),
        ({"map": (*MAP, "channel=time_ms", "sku=item")}, "map either time or time_ms"),
        ({"map": MAP, "rating_scale": "1-5"}, "--rating-scale 1-5: expected LOW:HIGH:STEP"),
        ({"map": MAP, "rating_scale": "5:1:1"}, "LOW must be below HIGH"),
    ],
)
def test_a_mapping_that_cannot_be(folder: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        import_from("csv", folder, folder / "out", items="products.csv", events="orders.csv", **options)
    assert "\n" not in str(raised.value)
    assert not (folder / "out").exists()


def test_unknown_keys_and_missing_files(folder: Path) -> None:
    (folder / "map.toml").write_text('item = "products.csv"\n')
    with pytest.raises(ConfigError, match=r"map\.toml: unknown key 'item'; did you mean \"items\""):
        import_from("csv", folder, folder / "out", mapping=folder / "map.toml")
    with pytest.raises(DataError, match=r"items\.csv: no such file; name the table with --items FILE"):
        import_from("csv", folder, folder / "out")
