"""What search is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import model_validator

from unimp.answer import RankedItem
from unimp.tasks.requests import (
    ANSWER_TAIL,
    ITEMS_EXAMPLE,
    ExcludeHistory,
    FieldForm,
    ItemCount,
    Picture,
    TaskRequest,
    Words,
    with_example,
)


class SearchRequest(TaskRequest):
    """Items that the words, the picture, or both ask for, in this user's taste."""

    model_config = with_example(user="U00001", text="red bag", k=5)
    picture_field = "picture"

    text: Annotated[
        Words, FieldForm(("--text", "-t"), help="What is looked for, in words.", column="text")
    ] = ""
    """What the user looks for, in words."""
    picture: Annotated[
        Picture | None, FieldForm(("--picture",), help="A picture file of what is looked for.")
    ] = None
    """A picture of what the user looks for: a PNG, JPEG, WebP or GIF file, in base64."""
    k: ItemCount = 10
    """How many items."""
    exclude_history: ExcludeHistory = True
    """Leave out the items of the history."""

    @model_validator(mode="after")
    def asks_something(self) -> Self:
        if not self.text.strip() and self.picture is None:
            raise ValueError("query: empty; give words, a picture, or both")
        return self


@dataclass(frozen=True)
class SearchResult:
    """Items in falling order of score: what the words or the picture ask for, in this user's taste."""

    items: tuple[RankedItem, ...]
    text: str
    has_picture: bool
    history: tuple[str, ...]
    cold_start: bool = False


ANSWER_EXAMPLE: dict[str, Any] = {
    "items": ITEMS_EXAMPLE,
    "text": "red bag",
    "has_picture": False,
    **ANSWER_TAIL,
}
"""What the JSON of an answer looks like."""
