"""Shopify: `products_export.csv` and `orders_export*.csv`, as its admin pages export them.

A product has a row per variant and per picture; only the first carries its title. An order has a row per
line; only the first carries customer and date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.picture_check import USUAL_PICTURES, find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.sources.orders import OrderLines, order_rows, price_of, tables_with, without_markup
from unimp.data.times import TimeReader

PRODUCT_COLUMNS = (
    *("Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Tags"),
    *("Option1 Value", "Option2 Value", "Option3 Value", "Variant SKU", "Variant Price", "Image Src"),
)
NEW_NAMES = {
    "URL handle": "Handle",
    "Description": "Body (HTML)",
    "Product category": "Product Category",
    "Option1 value": "Option1 Value",
    "Option2 value": "Option2 Value",
    "Option3 value": "Option3 Value",
    "SKU": "Variant SKU",
    "Price": "Variant Price",
    "Product image URL": "Image Src",
}
"""What columns have been called since 2024 -> before."""
ORDER_COLUMNS = (
    *("Name", "Email", "Phone", "Billing Name", "Financial Status", "Cancelled at", "Created at"),
    *("Lineitem name", "Lineitem sku", "Lineitem quantity"),
)
OF_THE_ORDER = ("Email", "Phone", "Billing Name", "Financial Status", "Cancelled at", "Created at")
"""Columns that only an order's first row fills."""
UNDONE = ("refunded", "voided", "expired")
ATTRIBUTES = (
    Attribute("title", "text"),
    Attribute("vendor", "category"),
    Attribute("type", "category"),
    Attribute("tags", "categories"),
    Attribute("price", "number"),
    Attribute("description", "text"),
)


class Shopify:
    """A product is one item, whatever its variants; customers go by e-mail, else telephone, else name."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        product_files = tables_with(
            path, ("Handle", "Title"), options.items, "products", or_else=("URL handle", "Title")
        )
        order_files = tables_with(path, ("Lineitem name", "Created at"), options.events, "orders")
        parts = order_rows(product_files, bad, (*PRODUCT_COLUMNS, *NEW_NAMES))
        frame = pl.concat([rows.frame for rows in parts]).with_columns(
            pl.coalesce(name, new).alias(name) for new, name in NEW_NAMES.items()
        )
        rows = Rows(product_files[0].name, frame.filter(pl.col("Handle").is_not_null()))
        if rows.frame.is_empty():
            raise DataError(f"{rows.file}: no product; export the products again")
        by_sku, by_name = names_of(rows.frame)
        lines = OrderLines(
            ("Email", "Phone", "Billing Name"), (("Lineitem sku", by_sku), ("Lineitem name", by_name))
        )
        return RawTables(
            products(rows),
            ATTRIBUTES,
            read_orders(order_files, lines, TimeReader(bad, options.time_format), bad),
            "title",
            pictures=find_pictures(options.pictures, path, USUAL_PICTURES),
            counts=lines.counts,
        )


def read_orders(files: Sequence[Path], lines: OrderLines, times: TimeReader, bad: BadRows) -> Iterator[Rows]:
    """The order lines that count. Memory: a block of a file; an order that goes on in the next is carried."""
    undone = pl.col("Cancelled at").is_not_null() | pl.col("Financial Status").is_in(UNDONE)
    last: pl.DataFrame | None = None
    for rows in order_rows(files, bad, ORDER_COLUMNS):
        frame = rows.frame if last is None else pl.concat([last, rows.frame])
        frame = frame.with_columns(pl.col(name).forward_fill().over("Name") for name in OF_THE_ORDER)
        last = frame.tail(1).with_columns(pl.lit(None, dtype=pl.String).alias("Lineitem name"))
        listed = Rows(rows.file, frame.filter(pl.col("Lineitem name").is_not_null()))
        known = lines.known(listed, undone).frame.rename({"Created at": "timestamp"})
        yield times.read(Rows(rows.file, known.select(ROW, "user_id", "item_id", "timestamp")), "timestamp")
    lines.finish(files[0].name, bad)


def products(rows: Rows) -> Rows:
    """One row per handle: the first value of each column, the lowest price, all pictures."""
    first = {"title": "Title", "vendor": "Vendor", "description": "Body (HTML)"}
    tags = pl.col("Tags").drop_nulls().first().str.split(",").list.eval(pl.element().str.strip_chars())
    frame = rows.frame.with_columns(price_of(rows.frame["Variant Price"]))
    grouped = frame.group_by(pl.col("Handle").alias("item_id"), maintain_order=True).agg(
        pl.col(ROW).first(),
        *(pl.col(column).drop_nulls().first().alias(name) for name, column in first.items()),
        pl.coalesce(
            pl.col("Type").drop_nulls().first(),
            pl.col("Product Category").drop_nulls().first().str.split(" > ").list.last(),
        ).alias("type"),
        tags.alias("tags"),
        pl.col("Variant Price").min().alias("price"),
        pl.col("Image Src").drop_nulls().str.join("\n").alias("picture"),
    )
    description = pl.Series(
        "description", [without_markup(text) for text in grouped["description"]], pl.String
    )
    return Rows(rows.file, grouped.with_columns(description))


def names_of(frame: pl.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """SKU -> handle, and the names that an order line may give a product, `Title - Red / L`, -> handle."""
    by_sku: dict[str, str] = {}
    by_name: dict[str, str] = {}
    titles: dict[str, str] = {}
    wanted = ("Handle", "Title", "Variant SKU", "Option1 Value", "Option2 Value", "Option3 Value")
    for handle, title, sku, *options in frame.select(wanted).iter_rows():
        if sku:
            by_sku.setdefault(sku.strip().lstrip("'").lower(), handle)
        title = titles.setdefault(handle, (title or "").strip().lower())
        if title:
            by_name.setdefault(title, handle)
            chosen = " / ".join(option.strip() for option in options if option)
            by_name.setdefault(f"{title} - {chosen.lower()}", handle)
    return by_sku, by_name
