"""The OpenAPI document: every route, with examples that are true."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.serve.site import Site
from unimp.serve import examples
from unimp.serve.schemas import Forgotten, Health, HistoryOut, ItemOut, Stored
from unimp.tasks import TASKS

TYPES: dict[str, Any] = {
    "STORED": Stored,
    "KNOWN": HistoryOut,
    "FORGOTTEN": Forgotten,
    "ITEM": ItemOut,
    "READY": Health,
}
COMMANDS = [task.command for task in TASKS.values()]


@pytest.fixture
def document(site: Site) -> Any:
    return site.get("/openapi.json").json()


@pytest.mark.parametrize("name", TYPES)
def test_examples_of_answers_are_of_their_type_and_whole(name: str) -> None:
    example = getattr(examples, name)
    adapter = TypeAdapter(TYPES[name])
    assert set(adapter.dump_python(adapter.validate_python(example), mode="json")) == set(example)


@pytest.mark.parametrize("name", TASKS)
def test_examples_of_tasks_are_of_their_type_and_whole(name: str, document: Any) -> None:
    task = TASKS[name]
    operation = document["paths"][f"/v1/{task.command}"]["post"]
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    adapter: TypeAdapter[Any] = TypeAdapter(task.Answer)
    assert set(adapter.json_schema(mode="serialization")["properties"]) == set(example)
    assert operation["description"] == task.Request.__doc__


def test_examples_of_questions_are_answered(site: Site, document: Any) -> None:
    """As they stand in the document, for the embedded shop."""
    for path in (*COMMANDS, "events", "events/batch"):
        body = document["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]["application/json"][
            "schema"
        ]
        schema = (
            body if "$ref" not in body else document["components"]["schemas"][body["$ref"].split("/")[-1]]
        )
        assert schema["examples"]
        for example in schema["examples"]:
            answer = site.ok(f"/v1/{path}", example)
            shown = document["paths"][f"/v1/{path}"]["post"]["responses"]["200"]
            assert set(answer) == set(shown["content"]["application/json"]["example"])
    form = document["paths"]["/v1/search"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert site.post("/v1/search", data=form["example"]).status_code == 200
    item = document["components"]["schemas"]["ItemIn"]["examples"][0]
    assert set(site.put("/v1/items/new", item).json()) == set(examples.ITEM)


def test_every_route_is_described(document: Any) -> None:
    operations = {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {f"post /v1/{task}" for task in COMMANDS} < set(operations)
    assert all(operation.get("description") for operation in operations.values())
    for name, operation in operations.items():
        problems = set(operation["responses"]) - {"200"}
        assert {"401", "403", "422", "429", "503"} <= problems, name
    search = operations["post /v1/search"]["requestBody"]["content"]
    assert set(search) == {"application/json", "multipart/form-data"}
    assert not any(path.startswith("/static") for path in document["paths"])


def test_other_names_of_a_task_answer_too(site: Site, document: Any) -> None:
    for task in TASKS.values():
        for name in task.aliases:
            assert f"/v1/{name}" not in document["paths"]
            assert site.ok(f"/v1/{name}", task.Request.example())
