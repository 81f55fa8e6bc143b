from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from unimp.core.errors import DataError
from unimp.data.dataset import Dataset
from unimp.data.sources.woocommerce import names_in


def pasts(dataset: Dataset) -> dict[str, list[str]]:
    log, ids = dataset.interactions.histories, dataset.catalog.item_ids
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


PRODUCT_HEADER = (
    *("\ufeffID", "Type", "SKU", "Name", "Short description", "Description", "Sale price", "Regular price"),
    *("Categories", "Tags", "Images", "Parent"),
)
PRODUCTS = (
    ("10", "variable", "TEE", "Tee", "<p>Soft.</p>", "<div>Very soft.</div>", "", "20.00",
     "Clothes > Tops, Sale", "summer", "https://w.example/a.jpg, https://w.example/b.jpg", ""),
    ("11", "variation", "TEE-R", "Tee - Red", "", "", "15,50", "20", "", "", "", "id:10"),
    ("12", "variation", "TEE-B", "Tee - Blue", "", "", "", "20", "", "", "", "TEE"),
    ("20", "simple", "MUG", "Mug, large", "", "", "7.5", "9", "Kitchen", "", "", ""),
    ("30", "simple", "", "Cap", "", "", "", "", "", "", "", ""),
)  # fmt: skip
LINES_HEADER = (
    "Order Number",
    "Order Status",
    "Order Date",
    "Customer User ID",
    "Product ID",
    "SKU",
    "Item Name",
)
LINES = (
    ("2", "completed", "2024-05-02 09:00", "7", "20", "MUG", "Mug, large"),
    ("1", "completed", "2024-05-01 09:00", "7", "11", "TEE-R", "Tee - Red"),
    ("1", "completed", "2024-05-01 09:00", "7", "", "", "cap"),
    ("1", "completed", "2024-05-01 09:00", "7", "999", "TEE-B", "?"),
    ("3", "Refunded", "2024-05-01 09:00", "7", "20", "", ""),
    ("4", "completed", "2024-05-01 09:00", "0", "20", "", ""),
    ("5", "completed", "2024-05-01 09:00", "8", "999", "GONE", "Gone"),
)


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    write(folder / "wc-product-export.csv", PRODUCT_HEADER, PRODUCTS)
    write(folder / "orders.csv", LINES_HEADER, LINES)
    return folder


def test_products_and_order_lines(tmp_path: Path) -> None:
    dataset = import_from("woocommerce", folder_of(tmp_path / "w"), tmp_path / "out")
    assert pasts(dataset) == {"7": ["10", "30", "10", "20"]}
    assert dataset.interactions.events["timestamp"].to_list()[-1] == 1_714_640_400
    assert dataset.catalog.item(0).attributes == {
        "title": "Tee", "categories": "Tops, Sale", "tags": "summer", "price": "20",
        "description": "Soft. Very soft.",
    }  # fmt: skip
    assert dataset.catalog.item(1).attributes["price"] == "7.5"
    counts = dataset.manifest.counts
    assert counts["lines_cancelled"] == counts["lines_without_customer"] == 1
    assert counts["lines_of_unknown_products"] == counts["pictures_on_the_web"] == 1


def test_a_report_with_a_row_per_order(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "w")
    rows = [("2024-05-02 09:00:00", "1", "completed", "Ann B", "2× Mug, large, 1× Tee - Red, 1× Cap")]
    write(folder / "orders.csv", ("Date", "Order #", "Status", "Customer", "Product(s)"), rows)
    dataset = import_from("woocommerce", folder, tmp_path / "out")
    assert pasts(dataset) == {"ann b": ["20", "10", "30"]}
    assert names_in("Just one") == ["Just one"]
    assert names_in(None) == []


def test_lines_within_a_row_per_order(tmp_path: Path) -> None:
    """As WebToffee's plug-in writes them, in a column each."""
    folder = folder_of(tmp_path / "w")
    header = (
        "order_id",
        "order_date",
        "status",
        "customer_id",
        "customer_email",
        "line_item_1",
        "line_item_2",
    )
    mug, tee = "name:Mug, large|product_id:20|sku:MUG|quantity:1|total:9.00", "name:Tee - Red|sku:|quantity:2"
    cap = "name:Cap|product_id:30|quantity:1"
    rows = [
        ("2", "5/19/2024 9:00:00", "completed", "7", "a@b.example", mug, ""),
        ("1", "5/18/2024 9:00:00", "completed", "7", "a@b.example", tee, cap),
        ("3", "5/20/2024 9:00:00", "cancelled", "7", "a@b.example", cap, ""),
    ]
    write(folder / "orders.csv", header, rows)
    dataset = import_from("woocommerce", folder, tmp_path / "out")
    assert pasts(dataset) == {"7": ["10", "30", "20"]}
    write(  # SkyVerge's, all in one
        folder / "orders.csv",
        ("order_number", "date", "status", "billing_email", "line_items"),
        [("1", "2024-05-18 09:00:00", "processing", "a@b.example", f"{tee};{cap};{mug}")],
    )
    dataset = import_from("woocommerce", folder, tmp_path / "out2")
    assert pasts(dataset) == {"a@b.example": ["10", "30", "20"]}


def test_guests_go_by_their_address(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "w")
    header = (*LINES_HEADER, "Email (Billing)")
    rows = [(*row[:3], "0" if row[0] == "1" else row[3], *row[4:], "Ann@w.example") for row in LINES[:4]]
    write(folder / "orders.csv", header, rows)
    dataset = import_from("woocommerce", folder, tmp_path / "out")
    assert pasts(dataset) == {"7": ["20"], "ann@w.example": ["10", "30", "10"]}
    write(folder / "orders.csv", LINES_HEADER, [(*row[:3], "0", *row[4:]) for row in LINES[:4]])
    with pytest.raises(DataError, match=r"orders\.csv: all 4 order lines are without a customer"):
        import_from("woocommerce", folder, tmp_path / "x")


def test_what_was_sent_back_is_no_purchase(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "w")
    rows = [(*row, quantity) for row, quantity in zip(LINES[:4], ("1", "1", "0", "1"), strict=True)]
    write(folder / "orders.csv", (*LINES_HEADER, "Quantity (- Refund)"), [*rows, (*LINES[0], "2")])
    dataset = import_from("woocommerce", folder, tmp_path / "out")
    assert pasts(dataset) == {"7": ["10", "10", "20", "20"]}


def test_bad_rows_and_missing_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "w")
    write(folder / "orders.csv", LINES_HEADER, [*LINES, ("9", "completed", "soon", "7", "20", "", "")])
    with pytest.raises(DataError, match=r'^orders\.csv:9: timestamp is not a time: "soon"'):
        import_from("woocommerce", folder, tmp_path / "out")
    dataset = import_from("woocommerce", folder, tmp_path / "out", max_bad_rows=1)
    assert dataset.manifest.counts["bad_rows"] == 1
    write(folder / "orders.csv", ("Order", "Total"), [("1", "2")])
    with pytest.raises(DataError, match=r"has no export of orders .* or name it with --events FILE"):
        import_from("woocommerce", folder, tmp_path / "x")
    with pytest.raises(DataError, match=r"orders\.csv:1: has no column for the customer \(Customer"):
        import_from("woocommerce", folder, tmp_path / "x", events="orders.csv")
    (folder / "wc-product-export.csv").unlink()
    with pytest.raises(DataError, match=r"has no export of products \(a CSV with the columns ID"):
        import_from("woocommerce", folder, tmp_path / "x")
