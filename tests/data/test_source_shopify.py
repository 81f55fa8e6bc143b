from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from tests.data.shop_exports import ORDER_HEADER, PRODUCT_HEADER, write_export, write_shopify
from unimp.core.errors import DataError
from unimp.data import csv_reading
from unimp.data.dataset import Dataset


def pasts(dataset: Dataset) -> dict[str, list[str]]:
    log, ids = dataset.interactions.histories, dataset.catalog.item_ids
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


PRODUCTS = (
    {"Handle": "tee", "Title": "Organic Tee",
     "Body (HTML)": "<p>Soft &amp; <b>warm</b>.</p><script>x()</script>", "Vendor": "Acme",
     "Product Category": "Apparel > Tops > T-Shirts", "Tags": "summer, cotton",
     "Option1 Value": "Red", "Option2 Value": "L", "Variant SKU": "'0815", "Variant Price": "20.00",
     "Image Src": "https://cdn.example/1.jpg"},
    {"Handle": "tee", "Option1 Value": "Blue", "Variant SKU": "T-B", "Variant Price": "18.00",
     "Image Src": "https://cdn.example/2.jpg"},
    {"Handle": "mug", "Title": "Mug", "Type": "Kitchen", "Variant Price": "7",
     "Option1 Value": "Default Title"},
    {"Handle": "cap", "Title": "Cap", "Variant SKU": "CAP"},
)  # fmt: skip
MAY = "2024-05-01 10:00:00 -0400"
LINES = (
    {"Name": "#2", "Email": "Ann@Shop.example", "Financial Status": "paid",
     "Created at": "2024-05-02 09:00:00 -0400", "Lineitem name": "Mug", "Lineitem quantity": "2"},
    {"Name": "#1", "Email": "ann@shop.example", "Financial Status": "paid", "Created at": MAY,
     "Lineitem name": "Organic Tee - Red / L", "Lineitem sku": "0815"},
    {"Name": "#1", "Lineitem name": "Cap", "Lineitem sku": "CAP"},
    {"Name": "#1", "Lineitem name": "Gift card"},
    {"Name": "#3", "Financial Status": "refunded", "Email": "ann@shop.example", "Created at": MAY,
     "Lineitem name": "Mug"},
    {"Name": "#4", "Created at": MAY, "Financial Status": "paid", "Lineitem name": "Mug"},
    {"Name": "#5", "Created at": MAY, "Phone": "+49 1", "Lineitem name": "Organic Tee - Blue"},
)  # fmt: skip


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    write_export(folder / "products_export_1.csv", PRODUCT_HEADER, *PRODUCTS)
    write_export(folder / "orders_export_1.csv", ORDER_HEADER, *LINES[:1])
    write_export(folder / "orders_export_2.csv", ORDER_HEADER, *LINES[1:])
    return folder


def test_products_and_orders(tmp_path: Path) -> None:
    dataset = import_from("shopify", folder_of(tmp_path / "s"), tmp_path / "out")
    assert pasts(dataset) == {"ann@shop.example": ["tee", "cap", "mug"], "+49 1": ["tee"]}
    assert dataset.interactions.events["timestamp"][0] == 1_714_572_000
    assert dataset.catalog.item(0).attributes == {
        "title": "Organic Tee", "vendor": "Acme", "type": "T-Shirts", "tags": "summer, cotton",
        "price": "18", "description": "Soft & warm.",
    }  # fmt: skip
    counts = dataset.manifest.counts
    assert counts["lines_cancelled"] == counts["lines_without_customer"] == 1
    assert counts["lines_of_unknown_products"] == 1
    assert counts["pictures_on_the_web"] == 1
    notes = " ".join(dataset.manifest.notes)
    assert "1 order line(s) of cancelled or refunded orders left out" in notes
    assert "1 item(s) name several pictures" in notes


def test_bad_rows_and_missing_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s")
    late = {"Name": "#9", "Email": "bo@shop.example", "Created at": "last week", "Lineitem name": "Mug"}
    write_export(folder / "orders_export_3.csv", ORDER_HEADER, late)
    with pytest.raises(DataError, match=r'timestamp is not a time: "last week"; expected a date or time'):
        import_from("shopify", folder, tmp_path / "out")
    assert import_from("shopify", folder, tmp_path / "out", max_bad_rows=1).manifest.counts["bad_rows"] == 1
    for path in folder.glob("orders*"):
        path.unlink()
    with pytest.raises(DataError, match=r"has no export of orders \(a CSV with the columns Line"):
        import_from("shopify", folder, tmp_path / "x")
    write_export(folder / "orders.csv", ORDER_HEADER, late | {"Lineitem name": "Sofa"})
    with pytest.raises(DataError, match=r"no order line names a product of the export by its Line"):
        import_from("shopify", folder, tmp_path / "x")
    (folder / "products_export_1.csv").unlink()
    with pytest.raises(DataError, match="has no export of products"):
        import_from("shopify", folder, tmp_path / "x")


def test_an_order_over_two_blocks_and_a_sheet_saved_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    write_export(folder / "products.csv", PRODUCT_HEADER, *PRODUCTS)
    order = {"Name": "#1", "Email": "ann@shop.example", "Created at": "5/17/2024 10:00"}
    more = [{"Name": "#1", "Lineitem name": name} for name in ("Cap", "Mug", "Organic Tee - Blue") * 20]
    write_export(folder / "orders.csv", ORDER_HEADER, order | {"Lineitem name": "Mug"}, *more)
    text = (folder / "orders.csv").read_text(encoding="utf-8")
    (folder / "orders.csv").write_bytes(text.replace(",", ";").encode("utf-16"))
    monkeypatch.setattr(csv_reading, "BLOCK_BYTES", 256)
    dataset = import_from("shopify", folder, tmp_path / "out")
    assert pasts(dataset) == {"ann@shop.example": ["mug", *["cap", "mug", "tee"] * 20]}
    assert dataset.interactions.events["timestamp"].unique().to_list() == [1_715_940_000]


def test_products_under_the_names_of_2024(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s")
    old = import_from("shopify", folder, tmp_path / "old")
    table = folder / "products_export_1.csv"
    names = {"Handle": "URL handle", "Body (HTML)": "Description", "Product Category": "Product category",
             "Option1 Value": "Option1 value", "Option2 Value": "Option2 value", "Variant SKU": "SKU",
             "Variant Price": "Price", "Image Src": "Product image URL"}  # fmt: skip
    header, rest = table.read_text().split("\n", 1)
    renamed = [names.get(name.strip(), name.strip()) for name in header.split(",")]
    table.write_text(",".join(renamed) + "\n" + rest)
    new = import_from("shopify", folder, tmp_path / "new")
    assert new.catalog.items.equals(old.catalog.items)
    assert pasts(new) == pasts(old)


def test_days_and_months_are_not_guessed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "s")
    for path in folder.glob("orders*"):
        text = (
            path.read_text().replace(MAY, "1/5/2024 10:00").replace("2024-05-02 09:00:00 -0400", "2/5/2024")
        )
        path.write_text(text)
    with pytest.raises(DataError, match=r"may have its day or its month first.*--time-format"):
        import_from("shopify", folder, tmp_path / "out")
    for path in folder.glob("orders*"):
        path.write_text(path.read_text().replace("2/5/2024", "2/5/2024 09:00"))
    dataset = import_from("shopify", folder, tmp_path / "out", time_format="%d/%m/%Y %H:%M")
    assert dataset.interactions.events["timestamp"][0] == 1_714_557_600


def test_a_whole_shop(tmp_path: Path) -> None:
    dataset = import_from("shopify", write_shopify(tmp_path / "shop", 60, 40), tmp_path / "out")
    assert len(dataset.interactions.histories) == 40
    assert dataset.manifest.counts["lines_of_unknown_products"] == 0
    assert dataset.catalog.item(0).attributes["title"].split()[1] in ("Shirt", "Mug", "Bag", "Lamp", "Scarf")
