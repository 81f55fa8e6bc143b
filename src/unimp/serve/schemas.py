"""JSON of the routes beside the tasks; those of a task stand in its package."""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from unimp.serve.store.records import WHEN_STORED, StoredEvent
from unimp.tasks.requests import ID_PATTERN, TEXT_PATTERN

KIND = r"^[a-z][a-z0-9_-]{0,31}$"
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=ID_PATTERN)]
AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=TEXT_PATTERN)]
AttributeText = Annotated[str, StringConstraints(max_length=4000, pattern=TEXT_PATTERN)]

MOST_EVENTS = 1000
MOST_ENTRIES = 2000
"""Of a list or object in a body: of more, not every wrong one is told."""
LATEST_TIME = 4_102_444_800
"""UTC seconds: the year 2100. Milliseconds by mistake lie far behind it."""


def with_example(**example: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [example]})


class StrictBody(BaseModel):
    """The JSON body of a request; its first unknown field ends the validation."""

    @model_validator(mode="before")
    @classmethod
    def without_unknown_fields(cls, value: Any) -> Any:
        """pydantic's own check makes an error of every unknown field, however many there are."""
        check_fields(value, cls.model_fields)
        return value


def check_fields(value: Any, known: Container[str]) -> None:
    """Raise for the first key of an object that is not `known`, or whose value has very many entries."""
    for name, field in value.items() if isinstance(value, dict) else ():
        if name not in known:
            raise PydanticCustomError("unknown_field", "unknown field", {"name": name})
        if isinstance(field, list | dict) and len(field) > MOST_ENTRIES:
            raise PydanticCustomError("too_many", "too many", {"name": name})


class EventIn(StrictBody):
    """A user met an item."""

    model_config = with_example(event_id="8f14e45f", user="ann", item="P00003", rating=5, kind="buy")

    event_id: Id = Field(description="Chosen by the client; sent again, the event counts once.")
    user: Id
    item: Id
    time: int | None = Field(None, ge=0, le=LATEST_TIME, description="UTC seconds; now, if left out.")
    rating: float | None = Field(None, allow_inf_nan=False, description="In the data's own scale.")
    kind: Annotated[str, StringConstraints(pattern=KIND)] = "view"

    def event(self) -> StoredEvent:
        when = WHEN_STORED if self.time is None else self.time
        return StoredEvent(self.event_id, self.user, self.item, when, self.rating, self.kind)


class EventsIn(StrictBody):
    """Stored all, or none."""

    model_config = with_example(
        events=[
            {"event_id": "a-1", "user": "ann", "item": "P00003", "kind": "view"},
            {"event_id": "a-2", "user": "ann", "item": "P00007", "kind": "buy", "rating": 4},
        ]
    )

    events: list[EventIn] = Field(min_length=1, max_length=MOST_EVENTS)


class Stored(BaseModel):
    """The events are on disk."""

    accepted: int
    duplicates: int


class EventOut(BaseModel):
    """A stored event."""

    event_id: str
    item: str
    time: int
    rating: float | None
    kind: str
    read: bool = Field(description="False: the item is not in the model's catalogue; answers leave it out.")


class HistoryOut(BaseModel):
    """All that is known of a user."""

    user: str
    data: list[str] = Field(description="Item ids of the data that the model was trained on, oldest first.")
    events: list[EventOut] = Field(description="Stored since, oldest first.")
    forgotten: bool


class Forgotten(BaseModel):
    user: str
    events_deleted: int


class ItemIn(StrictBody):
    """Attributes by name; the picture (PNG, JPEG, WebP or GIF in base64) stays if none is given."""

    model_config = with_example(attributes={"title": "Maple bag", "category": "bag"})

    attributes: dict[AttributeName, AttributeText] = Field(max_length=64)
    picture: str | None = None


class ItemOut(BaseModel):
    item: str
    title: str
    attributes: dict[str, str]
    picture: bool = Field(description="True: there is one at /v1/items/{item}/picture.")
    rankable: bool = Field(description="False: known to the store only; the model cannot rank it yet.")
    version: str = Field("", exclude=True)
    """Of the picture's address on the page: another one after every upsert."""


class RemovedItem(BaseModel):
    """The item is not answered with any more."""

    item: str
    removed: bool


class UserData(HistoryOut):
    """All that the service keeps of a user."""

    more: bool = Field(description="True: there are older events than those listed.")
    user_hash: str = Field(description="All that remains of a forgotten user: the SHA-256 of the id.")


class Problem(BaseModel):
    """What is wrong, in one line (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Health(BaseModel):
    status: str
    tasks: list[str] = []
    items: int = 0
