"""What answers look like, for the OpenAPI document; a test holds them against their types."""

from __future__ import annotations

from typing import Any

ITEMS = [
    {"item_id": "P00007", "title": "Maple bag", "score": -2.31},
    {"item_id": "P00011", "title": "Linden bag", "score": -2.87},
]
READ: dict[str, Any] = {"history": ["P00003", "P00004"], "cold_start": False}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNoYGAAAAGEAIHxoMGuAAAAAElFTkSuQmCC"
"""One pixel, in base64."""

STORED = {"accepted": 1, "duplicates": 0}
RECOMMENDED = {"items": ITEMS, **READ}
FOUND = {"items": ITEMS, "text": "red bag", "has_picture": False, **READ}
RATED = {
    "item_id": "P00003",
    "title": "Maple bag",
    "mean": 4.2,
    "levels": [1.0, 2.0, 3.0, 4.0, 5.0],
    "probabilities": [0.02, 0.03, 0.1, 0.43, 0.42],
    **READ,
}
EXPLAINED = {
    "item_id": "P00003",
    "title": "Maple bag",
    "text": "A red bag like the ones you chose, in soft leather.",
    "rating": 4.2,
    "named": ["red", "leather"],
    **READ,
}
SELECTED = {
    "candidates": [
        {"item_id": "P00003", "title": "Maple bag", "probability": 0.7, "chosen": True},
        {"item_id": "P00007", "title": "Linden bag", "probability": 0.3, "chosen": False},
    ],
    "chosen": ["P00003"],
    **READ,
}
DRAWN = {
    "pictures": [PNG],
    "text": "a blue bag",
    "attributes": {},
    "seed": 7,
    "history": [],
    "cold_start": True,
}
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
FORGOTTEN = {"user": "ann", "events_deleted": 1}
ITEM = {
    "item": "P00003",
    "title": "Maple bag",
    "attributes": {"title": "Maple bag", "category": "bag"},
    "picture": True,
    "rankable": True,
}
READY = {"status": "ready", "tasks": ["recommendation", "search"], "items": 640}
SEARCH_FORM = {"user": "U00001", "text": "red bag", "k": 5}


def answered(example: Any) -> Any:
    """The `responses` of a route whose answer looks like `example`."""
    return {200: {"content": {"application/json": {"example": example}}}}
