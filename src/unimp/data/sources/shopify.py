"""Shopify: `products_export.csv` and `orders_export*.csv`, as its admin pages export them.

A product has a row per variant and per picture; only the first carries its title. An order has a row per
line; only the first carries customer and date.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.sources.orders import read_several, resolve, tables_with, without_markup
from unimp.data.sources.stated_times import stated_time

TIMES = ("%Y-%m-%d %H:%M:%S %z", "%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
PRODUCT_COLUMNS = (
    *("Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Tags"),
    *("Option1 Value", "Option2 Value", "Option3 Value", "Variant SKU", "Variant Price", "Image Src"),
)
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
        product_files = tables_with(path, ("Handle", "Title"), options.items, "products")
        order_files = tables_with(path, ("Lineitem name", "Created at"), options.events, "orders")
        rows = read_several(product_files, bad, PRODUCT_COLUMNS)
        rows = Rows(product_files[0].name, rows.frame.filter(pl.col("Handle").is_not_null()))
        if rows.frame.is_empty():
            raise DataError(f"{rows.file}: no product; export the products again")
        orders = read_several(order_files, bad, ORDER_COLUMNS)
        file = orders.file if len(order_files) > 1 else order_files[0].name
        of_order = [pl.col(name).forward_fill().over("Name") for name in OF_THE_ORDER]
        lines = orders.frame.with_columns(of_order).filter(pl.col("Lineitem name").is_not_null())
        undone = pl.col("Cancelled at").is_not_null() | pl.col("Financial Status").is_in(UNDONE)
        by_sku, by_name = names_of(rows.frame)
        known = resolve(
            Rows(file, lines),
            ("Email", "Phone", "Billing Name"),
            (("Lineitem sku", by_sku), ("Lineitem name", by_name)),
            undone,
        )
        dated = known.rows.frame.rename({"Created at": "timestamp"})
        events = stated_time(Rows(file, dated.select(ROW, "user_id", "item_id", "timestamp")), TIMES, bad)
        return RawTables(
            products(rows),
            ATTRIBUTES,
            (events,),
            "title",
            pictures=find_pictures(options.pictures, path, ("pictures", "pictures.zip")),
            counts=known.counts,
            notes=known.notes,
        )


def products(rows: Rows) -> Rows:
    """One row per handle: the first value of each column, the lowest price, all pictures."""
    first = {"title": "Title", "vendor": "Vendor", "description": "Body (HTML)"}
    price = pl.col("Variant Price").str.replace_all(",", ".", literal=True).cast(pl.Float64, strict=False)
    tags = pl.col("Tags").drop_nulls().first().str.split(",").list.eval(pl.element().str.strip_chars())
    grouped = rows.frame.group_by(pl.col("Handle").alias("item_id"), maintain_order=True).agg(
        pl.col(ROW).first(),
        *(pl.col(column).drop_nulls().first().alias(name) for name, column in first.items()),
        pl.coalesce(
            pl.col("Type").drop_nulls().first(),
            pl.col("Product Category").drop_nulls().first().str.split(" > ").list.last(),
        ).alias("type"),
        tags.alias("tags"),
        price.min().alias("price"),
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
