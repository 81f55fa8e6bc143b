"""The OpenAPI document: every route, with examples that are true."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.serve.site import Site
from unimp.answer import Explanation, RatingForecast, Recommendation, SearchResult, Selection
from unimp.serve import examples
from unimp.serve.schemas import DrawingOut, Forgotten, Health, HistoryOut, ItemOut, Stored

TYPES: dict[str, Any] = {
    "STORED": Stored,
    "RECOMMENDED": Recommendation,
    "FOUND": SearchResult,
    "RATED": RatingForecast,
    "EXPLAINED": Explanation,
    "SELECTED": Selection,
    "DRAWN": DrawingOut,
    "KNOWN": HistoryOut,
    "FORGOTTEN": Forgotten,
    "ITEM": ItemOut,
    "READY": Health,
}
TASKS = ("recommend", "search", "rate", "explain", "select", "imagine")


@pytest.fixture
def document(site: Site) -> Any:
    return site.get("/openapi.json").json()


@pytest.mark.parametrize("name", TYPES)
def test_examples_of_answers_are_of_their_type_and_whole(name: str) -> None:
    example = getattr(examples, name)
    adapter = TypeAdapter(TYPES[name])
    assert set(adapter.dump_python(adapter.validate_python(example), mode="json")) == set(example)


def test_examples_of_questions_are_answered(site: Site, document: Any) -> None:
    """As they stand in the document, for the embedded shop."""
    for path in (*TASKS, "events", "events/batch"):
        body = document["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]["application/json"][
            "schema"
        ]
        schema = (
            body if "$ref" not in body else document["components"]["schemas"][body["$ref"].split("/")[-1]]
        )
        for example in schema["examples"]:
            answer = site.ok(f"/v1/{path}", example)
            shown = document["paths"][f"/v1/{path}"]["post"]["responses"]["200"]
            assert set(answer) == set(shown["content"]["application/json"]["example"])
    assert site.post("/v1/search", data=examples.SEARCH_FORM).status_code == 200
    item = document["components"]["schemas"]["ItemIn"]["examples"][0]
    assert set(site.put("/v1/items/new", item).json()) == set(examples.ITEM)


def test_every_route_is_described(document: Any) -> None:
    operations = {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {f"post /v1/{task}" for task in TASKS} < set(operations)
    assert all(operation.get("description") for operation in operations.values())
    for name, operation in operations.items():
        problems = set(operation["responses"]) - {"200"}
        assert {"401", "403", "422", "429", "503"} <= problems, name
    search = operations["post /v1/search"]["requestBody"]["content"]
    assert set(search) == {"application/json", "multipart/form-data"}
    assert not any(path.startswith("/static") for path in document["paths"])
