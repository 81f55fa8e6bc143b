"""Receipts: on each line `{"customer": …, "time": …, "articles": [{"id": …, "kind": …}, …]}`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.sources import SourceEntry


class Receipts:
    """Every article of a receipt is an event at the receipt's time (UTC seconds)."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        """See `unimp.data.raw.Source`."""
        events: list[dict[str, Any]] = []
        items: dict[str, dict[str, Any]] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); name a file of receipts") from None
        for number, line in enumerate(lines, start=1):
            try:
                receipt = json.loads(line)
                customer, time = str(receipt["customer"]), int(receipt["time"])
                articles = [(str(article["id"]), str(article["kind"])) for article in receipt["articles"]]
            except (ValueError, KeyError, TypeError):
                bad.add(
                    f'{path.name}:{number}: no receipt; write {{"customer": …, "time": …, "articles": […]}}'
                )
                continue
            for item_id, kind in articles:
                items.setdefault(item_id, {"item_id": item_id, "kind": kind, ROW: number})
                events.append({"user_id": customer, "item_id": item_id, "timestamp": time, ROW: number})
        if not events:
            raise DataError(f"{path}: has no receipt; check the file")
        return RawTables(
            Rows(path.name, pl.DataFrame(list(items.values()))),
            (Attribute("kind", "category"),),
            (Rows(path.name, pl.DataFrame(events)),),
        )


RECEIPTS = SourceEntry("unimp_example.receipts:Receipts", "receipts as JSON lines (file)")
