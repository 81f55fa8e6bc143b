"""Examples of answers for the OpenAPI document; a test holds them against their types."""

from __future__ import annotations

from typing import Any

from unimp.tasks import TASKS

STORED = {"accepted": 1, "duplicates": 0}
KNOWN = {
    "user": "ann",
    "data": [],
    "events": [
        {
            "event_id": "a-1",
            "item": "P00003",
            "time": 1_700_000_000,
            "rating": 5.0,
            "kind": "buy",
            "read": True,
        }
    ],
    "forgotten": False,
}
USER_DATA = KNOWN | {"more": False, "user_hash": "6e1b…"}
REMOVED = {"item": "P00003", "removed": True}
FORGOTTEN = {"user": "ann", "events_deleted": 1}
ITEM = {
    "item": "P00003",
    "title": "Maple bag",
    "attributes": {"title": "Maple bag", "category": "bag"},
    "picture": True,
    "rankable": True,
}
READY = {"status": "ready", "tasks": list(TASKS.table), "items": 640}


def answered(example: Any) -> Any:
    """The `responses` of a route whose answer looks like `example`."""
    return {200: {"content": {"application/json": {"example": example}}}}
