"""WooCommerce: its own export of products, and orders as the usual plug-ins and its reports write them.

An order file has a row per line, with the customer, the date and the product's id, SKU or name; or a row per
order, with `Product(s)` such as `2× Mug, 1× Cup`, or `line_items` or `line_item_1`, … such as
`name:Mug|sku:M|quantity:1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.picture_check import USUAL_PICTURES, find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import read_csv, stream_csv
from unimp.data.sources.orders import (
    OrderLines,
    header_of,
    price_of,
    tables_with,
    with_all,
    without_markup,
)
from unimp.data.times import TimeReader
from unimp.data.values import numbers

ROLES: dict[str, tuple[str, ...]] = {
    "customer": (
        *("customer_user_id", "customer_user", "customer_id", "email_billing", "billing_email_address"),
        *("billing_email", "customer_email", "email", "customer"),
    ),
    "timestamp": ("order_date", "date", "created", "date_created"),
    "status": ("order_status", "status"),
    "product_id": ("product_id", "item_product_id", "item_id"),
    "sku": ("sku", "product_sku", "item_sku"),
    "name": ("item_name", "product_name", "product_name_main", "item", "name"),
    "quantity": ("quantity_refund", "quantity", "item_quantity", "qty"),
    "listed": ("product_s", "products"),
    "line_items": ("line_items",),
}
"""What a column is -> its names, in small letters with one sign between the words."""
PRODUCT_ROLES = ("product_id", "sku", "name", "listed", "line_items")
LINE_ITEM = re.compile(r"line_item_\d+")
"""`line_item_1`, `line_item_2` …: `name:Mug|sku:M|quantity:1|total:4.00`."""
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
        read = read_csv(product_file, bad, required=("ID", "Name"), optional=PRODUCT_COLUMNS, separator=None)
        rows = Rows(read.file, with_all(read.frame, PRODUCT_COLUMNS))
        parent_of = parents(rows.frame)
        lines = OrderLines(
            ("customer",),
            (
                ("product_id", parent_of),
                ("sku", by_sku(rows.frame, parent_of)),
                ("name", by_name(rows.frame, parent_of)),
            ),
        )
        file = order_file(path, options.events, product_file)
        return RawTables(
            products(rows),
            ATTRIBUTES,
            read_orders(file, lines, TimeReader(bad, options.time_format), bad),
            "title",
            pictures=find_pictures(options.pictures, path, USUAL_PICTURES),
            counts=lines.counts,
        )


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

    prices = [price_of(frame[name]) for name in ("Sale price", "Regular price")]
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
    for file in sorted(product_file.parent.glob("*.csv*")):
        found = roles_of(header_of(file)) if file != product_file else {}
        if {"customer", "timestamp"} <= set(found) and any(role in found for role in PRODUCT_ROLES):
            return file
    raise DataError(
        f"{product_file.parent}: has no export of orders (a CSV with columns such as Customer User ID, "
        "Order Date, Product ID); put it there, or name it with --events FILE"
    )


def roles_of(header: Sequence[str]) -> dict[str, list[str]]:
    """Role -> its columns, the best first, as far as the header has such columns."""
    plain = {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"): name for name in reversed(header)}
    found = {role: [plain[name] for name in names if name in plain] for role, names in ROLES.items()}
    if not found["line_items"]:
        found["line_items"] = [name for name in header if LINE_ITEM.fullmatch(name.lower().replace(" ", "_"))]
    return {role: names for role, names in found.items() if names}


def read_orders(path: Path, lines: OrderLines, times: TimeReader, bad: BadRows) -> Iterator[Rows]:
    """The order lines that count, part by part."""
    roles: dict[str, list[str]] = {}
    for rows in stream_csv(path, bad, separator=None):
        roles = roles or required_roles(path, rows.frame.columns)
        known = lines.known(order_lines(rows, roles), pl.col("status").str.to_lowercase().is_in(UNDONE))
        columns = [ROW, "user_id", "item_id", "timestamp", *(["quantity"] if "quantity" in roles else [])]
        chosen = Rows(known.file, known.frame.select(columns))
        if "quantity" in roles:
            chosen = numbers(chosen, "quantity", bad)
        yield times.read(chosen, "timestamp")
    lines.finish(path.name, bad)


def required_roles(path: Path, header: Sequence[str]) -> dict[str, list[str]]:
    roles = roles_of(header)
    for role, usual in (("customer", "Customer User ID"), ("timestamp", "Order Date")):
        if role not in roles:
            known = ", ".join(header[:12])
            raise DataError(f"{path.name}:1: has no column for the {role} ({usual}); it has {known}")
    return roles


def order_lines(rows: Rows, roles: dict[str, list[str]]) -> Rows:
    """A row per line: `customer`, `timestamp`, `status`, `product_id`, `sku`, `name`, `quantity`.

    A guest has the customer id 0, and goes by the next column that names a customer: the e-mail address.
    """
    wanted = [role for role in ROLES if role not in ("listed", "line_items")]
    frame = rows.frame.select(
        ROW,
        *(
            (pl.col(roles[role][0]) if role in roles else pl.lit(None, dtype=pl.String)).alias(role)
            for role in wanted
            if role != "customer"
        ),
        pl.coalesce(pl.col(name).replace("0", None) for name in roles["customer"]).alias("customer"),
    )
    if "listed" in roles:
        parts = [names_in(text) for text in rows.frame[roles["listed"][0]]]
        frame = frame.with_columns(pl.Series("name", parts, pl.List(pl.String))).explode("name")
    elif "line_items" in roles:
        columns = roles["line_items"]
        listed = [[text for text in row if text] for row in rows.frame.select(columns).iter_rows()]
        if not LINE_ITEM.fullmatch(columns[0].lower().replace(" ", "_")):
            listed = [[part for text in row for part in text.split(";")] for row in listed]
        frame = frame.with_columns(pl.Series("\0line", listed, pl.List(pl.String))).explode("\0line")
        for role in ("name", "sku", "product_id", "quantity"):
            frame = frame.with_columns(pl.col("\0line").str.extract(rf"(?:^|\|){role}:([^|]*)").alias(role))
    return Rows(rows.file, frame.select(ROW, *wanted))


def names_in(text: str | None) -> list[str]:
    """`2× Mug, blue, 1× Cup` as its names: a number begins each."""
    pieces = PART.split(text or "")
    return [name.strip() for name in pieces[2::2]] or ([text.strip()] if text else [])
