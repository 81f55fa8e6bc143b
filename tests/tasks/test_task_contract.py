"""Every task keeps the contract that extensions are held to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unimp.testing import TaskContract


class TestRecommendation(TaskContract):
    task = "recommendation"


class TestSearch(TaskContract):
    task = "search"

    def fields(self, item_ids: Sequence[str]) -> dict[str, Any]:
        return {"text": "blue bag"}


class TestRating(TaskContract):
    task = "rating"
    beside = ("recommendation",)

    def fields(self, item_ids: Sequence[str]) -> dict[str, Any]:
        return {"item": item_ids[0]}


class TestExplanation(TaskContract):
    task = "explanation"

    def fields(self, item_ids: Sequence[str]) -> dict[str, Any]:
        return {"item": item_ids[0]}


class TestSelection(TaskContract):
    task = "selection"

    def fields(self, item_ids: Sequence[str]) -> dict[str, Any]:
        return {"candidates": list(item_ids[:5]), "count": 2}


class TestImageGeneration(TaskContract):
    task = "imagination"
    beside = ("search",)

    def fields(self, item_ids: Sequence[str]) -> dict[str, Any]:
        return {"text": "blue bag", "count": 2, "seed": 5}
