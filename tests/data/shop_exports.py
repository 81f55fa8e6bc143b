"""A small shop as Shopify exports it, for tests and for the timed way of a newcomer."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

PRODUCT_HEADER = (
    *("Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Tags", "Published"),
    *("Option1 Name", "Option1 Value", "Option2 Name", "Option2 Value", "Variant SKU", "Variant Price"),
    *("Image Src", "Image Position", "Status"),
)
ORDER_HEADER = (
    *("Name", "Email", "Financial Status", "Paid at", "Total", "Created at", "Lineitem quantity"),
    *("Lineitem name", "Lineitem price", "Lineitem sku", "Cancelled at", "Billing Name", "Phone", "Id"),
)
COLOURS = ("Red", "Blue", "Green", "Black")
KINDS = ("Shirt", "Mug", "Bag", "Lamp", "Scarf")


def rows_of(header: Sequence[str], *rows: dict[str, str]) -> list[list[str]]:
    """Rows with the columns that each names, the others empty, as such exports leave them."""
    for row in rows:
        assert set(row) <= set(header)
    return [[row.get(name, "") for name in header] for row in rows]


def write_export(path: Path, header: Sequence[str], *rows: dict[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows_of(header, *rows)])


def shop_products(count: int) -> Iterator[dict[str, str]]:
    """`count` products with two variants each, the second row without what the first says of both."""
    for number in range(count):
        kind, colour = KINDS[number % len(KINDS)], COLOURS[number // len(KINDS) % len(COLOURS)]
        handle = f"{colour}-{kind}-{number}".lower()
        yield {
            "Handle": handle, "Title": f"{colour} {kind} {number}", "Type": kind,
            "Vendor": f"Maker {number % 7}", "Body (HTML)": f"<p>A {colour.lower()} {kind.lower()}.</p>",
            "Tags": f"{colour}, {kind}", "Option1 Name": "Size", "Option1 Value": "S",
            "Variant SKU": f"SKU-{number}-S", "Variant Price": "9.90",
        }  # fmt: skip
        yield {
            "Handle": handle,
            "Option1 Value": "L",
            "Variant SKU": f"SKU-{number}-L",
            "Variant Price": "12.50",
        }


def shop_orders(customers: int, products: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Orders of one to three lines; each customer keeps to a colour, and to products near one another."""
    rng = random.Random(seed)
    number = 1000
    for customer in range(customers):
        taste = rng.randrange(products)
        for order in range(rng.randrange(2, 6)):
            number += 1
            day, minute = 1 + rng.randrange(28), rng.randrange(60)
            first = {
                "Email": f"customer{customer}@shop.example", "Financial Status": "paid",
                "Created at": f"2024-{1 + order:02}-{day:02} 10:{minute:02}:00 -0400",
                "Billing Name": f"Customer {customer}", "Id": str(number),
            }  # fmt: skip
            for line in range(rng.randrange(1, 4)):
                bought = (taste + rng.choice((0, 1, 1, 2, 3, 5)) * len(KINDS)) % products
                kind, colour = KINDS[bought % len(KINDS)], COLOURS[bought // len(KINDS) % len(COLOURS)]
                yield (first if not line else {}) | {
                    "Name": f"#{number}", "Lineitem quantity": "1", "Lineitem sku": f"SKU-{bought}-S",
                    "Lineitem name": f"{colour} {kind} {bought} - S", "Lineitem price": "9.90",
                }  # fmt: skip


def write_shopify(folder: Path, products: int, customers: int) -> Path:
    folder.mkdir(parents=True)
    write_export(folder / "products_export.csv", PRODUCT_HEADER, *shop_products(products))
    write_export(folder / "orders_export.csv", ORDER_HEADER, *shop_orders(customers, products))
    return folder
