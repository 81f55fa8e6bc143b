"""WooCommerce: its own export of products, and orders as the usual plug-ins and its reports write them.

An order file has a row per line, with the customer, the date and the product's id, SKU or name; or a row per
order, with `Product(s)` such as `2× Mug, 1× Cup`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import read_csv
from unimp.data.sources.orders import header_of, resolve, tables_with, without_markup
from unimp.data.sources.stated_times import stated_time

TIMES = (
    *("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%m/%d/%Y %H:%M"),
    *("%m/%d/%Y", "%B %d, %Y %I:%M %p", "%B %d, %Y"),
)
CUSTOMER = (
    *("Customer User ID", "Customer User", "Customer ID", "Email (Billing)", "Billing Email Address"),
    *("Billing Email", "billing_email", "Customer Email", "customer_email", "Email", "Customer"),
)
DATE = ("Order Date", "order_date", "Date", "Created", "Date Created", "date_created")
STATUS = ("Order Status", "Status", "status", "order_status")
PRODUCT_ID = ("Product ID", "Product Id", "product_id", "Item ID")
SKU = ("SKU", "Product SKU", "Item SKU", "sku", "item_sku")
NAME = ("Item Name", "Product Name", "Product Name (main)", "Item", "product_name", "name", "item_name")
LISTED = ("Product(s)", "Products")
PART = re.compile(r"(?:^|,\s*)(\d+)\s*[×x]\s*")
UNDONE = ("cancelled", "refunded", "failed", "trash", "wc-cancelled", "wc-refunded", "wc-failed")
ATTRIBUTES = (
    Attribute("title", "text"),
    Attribute("categories", "categories"),
    Attribute("tags", "categories"),
    Attribute("brand", "category"),
    Attribute("price", "number"),
    Attribute("description", "text"),
)
PRODUCT_COLUMNS = (
    *("ID", "Type", "SKU", "Name", "Short description", "Description", "Sale price", "Regular price"),
    *("Categories", "Tags", "Brands", "Images", "Parent"),
)


class WooCommerce:
    """A variable product is one item, whatever its variations."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        product_file = tables_with(path, ("ID", "Type", "Name"), options.items, "products")[0]
        rows = with_all(read_csv(product_file, bad, required=("ID", "Name"), optional=PRODUCT_COLUMNS))
        parent_of = parents(rows.frame)
        orders = read_orders(order_file(path, options.events, product_file), bad)
        known = resolve(
            orders,
            ("customer",),
            (
                ("product_id", parent_of),
                ("sku", by_sku(rows.frame, parent_of)),
                ("name", by_name(rows.frame, parent_of)),
            ),
            pl.col("status").str.to_lowercase().is_in(UNDONE),
        )
        dated = known.rows.frame.select(ROW, "user_id", "item_id", "timestamp")
        return RawTables(
            products(rows),
            ATTRIBUTES,
            (stated_time(Rows(known.rows.file, dated), TIMES, bad),),
            "title",
            pictures=find_pictures(options.pictures, path, ("pictures", "pictures.zip")),
            counts=known.counts,
            notes=known.notes,
        )


def with_all(rows: Rows) -> Rows:
    absent = [name for name in PRODUCT_COLUMNS if name not in rows.frame.columns]
    return Rows(rows.file, rows.frame.with_columns(pl.lit(None, dtype=pl.String).alias(n) for n in absent))


def parents(frame: pl.DataFrame) -> dict[str, str]:
    """Id of a product or a variation -> id of the product; `Parent` is `id:12` or a SKU."""
    sku = {sku.lower(): own for own, sku in frame.select("ID", "SKU").iter_rows() if sku and own}
    found: dict[str, str] = {}
    for own, kind, parent in frame.select("ID", "Type", "Parent").iter_rows():
        if own is None:
            continue
        of_variation = (kind or "").lower().startswith("variation") and parent
        named = parent.removeprefix("id:") if of_variation else own
        found[own] = sku.get(named.lower(), named) if of_variation else own
    return found


def by_sku(frame: pl.DataFrame, parent_of: dict[str, str]) -> dict[str, str]:
    return {sku.lower(): parent_of[own] for own, sku in frame.select("ID", "SKU").iter_rows() if sku and own}


def by_name(frame: pl.DataFrame, parent_of: dict[str, str]) -> dict[str, str]:
    """Names of products, and of variations (`Shirt - Red`), each the first that has it."""
    found: dict[str, str] = {}
    for own, name in frame.select("ID", "Name").iter_rows():
        if own and name:
            found.setdefault(name.strip().lower(), parent_of[own])
    return found


def products(rows: Rows) -> Rows:
    """The products without their variations; the last part of each category's path counts."""
    kind = pl.col("Type").fill_null("").str.to_lowercase()
    frame = rows.frame.filter(~kind.str.starts_with("variation"))

    def listed(column: str) -> pl.Expr:
        parts = (
            pl.col(column)
            .str.split(",")
            .list.eval(
                pl.element()
                .str.split(">")
                .list.last()
                .str.strip_chars()
                .str.replace_all("\\", "", literal=True)
            )
        )
        return parts.list.eval(pl.element().filter(pl.element() != "")).list.unique(maintain_order=True)

    prices = [
        pl.col(name).str.replace_all(",", ".", literal=True).cast(pl.Float64, strict=False)
        for name in ("Sale price", "Regular price")
    ]
    words = [
        without_markup(f"{short or ''} {long or ''}")
        for short, long in frame.select("Short description", "Description").iter_rows()
    ]
    return Rows(
        rows.file,
        frame.select(
            ROW,
            pl.col("ID").alias("item_id"),
            pl.col("Name").alias("title"),
            listed("Categories").alias("categories"),
            listed("Tags").alias("tags"),
            pl.col("Brands").str.split(",").list.first().alias("brand"),
            pl.coalesce(prices).alias("price"),
            pl.Series("description", words, pl.String),
            pl.col("Images").alias("picture"),
        ),
    )


def order_file(path: Path, wanted: str | None, product_file: Path) -> Path:
    """The file that was asked for, or the one beside the products with a customer, a date and a product."""
    if wanted is not None:
        return tables_with(path, (), wanted, "orders")[0]
    for file in sorted(product_file.parent.glob("*.csv")):
        header = header_of(file)
        groups = (CUSTOMER, DATE, PRODUCT_ID + SKU + NAME + LISTED)
        if file != product_file and all(first_of(group, header) for group in groups):
            return file
    raise DataError(
        f"{product_file.parent}: has no export of orders (a CSV with columns such as Customer User ID, "
        "Order Date, Product ID); put it there, or name it with --events FILE"
    )


def first_of(names: Sequence[str], present: Sequence[str]) -> str | None:
    return next((name for name in names if name in present), None)


def read_orders(path: Path, bad: BadRows) -> Rows:
    """`customer`, `timestamp`, `status`, `product_id`, `sku`, `name`; a row per line."""
    rows = read_csv(path, bad)
    roles = {
        "customer": CUSTOMER, "timestamp": DATE, "status": STATUS,
        "product_id": PRODUCT_ID, "sku": SKU, "name": NAME, "listed": LISTED,
    }  # fmt: skip
    chosen = {role: first_of(names, rows.frame.columns) for role, names in roles.items()}
    for role in ("customer", "timestamp"):
        if chosen[role] is None:
            known = ", ".join(rows.frame.columns[:12])
            raise DataError(f"{path.name}:1: has no column for the {role} ({roles[role][0]}); it has {known}")
    frame = rows.frame.select(
        ROW,
        *(
            (pl.lit(None, dtype=pl.String) if column is None else pl.col(column)).alias(role)
            for role, column in chosen.items()
        ),
    )
    frame = frame.with_columns(pl.col("customer").replace("0", None))  # a guest has the id 0
    if chosen["listed"] is not None:
        parts = [names_in(text) for text in frame["listed"]]
        frame = frame.with_columns(pl.Series("name", parts, pl.List(pl.String))).explode("name")
    return Rows(path.name, frame.drop("listed"))


def names_in(text: str | None) -> list[str]:
    """`2× Mug, blue, 1× Cup` as its names: a number begins each."""
    pieces = PART.split(text or "")
    return [name.strip() for name in pieces[2::2]] or ([text.strip()] if text else [])
