"""The three extensions keep the contracts of UniMP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unimp.testing import RankerContract, SourceContract, TaskContract


class TestSubstitute(TaskContract):
    task = "substitute"

    def fields(self, item_ids: Sequence[str]) -> dict[str, Any]:
        return {"item": item_ids[0], "k": 3}


class TestRecentPop(RankerContract):
    method = "recent-pop"
    floor = 0.02


class TestReceipts(SourceContract):
    source = "receipts"
    users, items, events = 2, 3, 4

    def write(self, folder: Path) -> Path:
        path = folder / "receipts.jsonl"
        mug, lamp, bag = ({"id": f"P{number}", "kind": "ware"} for number in range(3))
        receipts = [
            {"customer": "ann", "time": 1_700_000_000, "articles": [mug, lamp]},
            {"customer": "bob", "time": 1_700_000_060, "articles": [bag]},
            {"customer": "ann", "time": 1_700_000_120, "articles": [bag]},
        ]
        path.write_text("\n".join(map(json.dumps, receipts)) + "\n")
        return path

    def spoil(self, path: Path) -> None:
        with path.open("a") as file:
            file.write('{"customer": "cid"}\n')
