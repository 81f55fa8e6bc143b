"""The request and the answer of image generation."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PlainSerializer, PlainValidator, StringConstraints, WithJsonSchema

from unimp.answer import PictureArray
from unimp.core.images import png_bytes
from unimp.tasks.requests import MOST_PICTURES, TEXT_PATTERN, FieldForm, TaskRequest, Words, with_example

AttributeName: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=TEXT_PATTERN)
]


PNG_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNoYGAAAAGEAIHxoMGuAAAAAElFTkSuQmCC"
"""One pixel, in base64."""


class ImageRequest(TaskRequest):
    """Pictures of what the words and attributes ask for, in the user's taste."""

    model_config = with_example(history=[], text="a blue bag", seed=7)

    text: Annotated[
        Words, FieldForm(("--text", "-t"), help="What the picture shall show, in words.", column="text")
    ] = ""
    """What the picture shall show, in words."""
    attributes: Annotated[
        dict[AttributeName, Words] | None,
        Field(max_length=16),
        FieldForm(("--attribute", "-a"), help="NAME=VALUE as the catalogue has it."),
    ] = None
    """Attribute values that the picture shall show, as the catalogue has them."""
    count: Annotated[int, Field(ge=1, le=MOST_PICTURES), FieldForm(help="How many pictures.")] = 1
    """How many pictures."""
    seed: Annotated[int, Field(ge=0, lt=2**31), FieldForm(help="The same seed draws the same pictures.")] = 0
    """The same seed draws the same pictures."""
    temperature: Annotated[
        float | None,
        Field(ge=0, le=10, allow_inf_nan=False),
        FieldForm(help="Below 1: likelier pictures; 0: one."),
    ] = None
    """Below 1: likelier pictures; 0: the likeliest one. null: that of the recipe."""
    top_p: Annotated[
        float | None,
        Field(gt=0, le=1, allow_inf_nan=False),
        FieldForm(("--top-p",), help="Draw among the likeliest codes only."),
    ] = None
    """Draw among the likeliest codes that together have this probability. null: that of the recipe."""


Png: TypeAlias = Annotated[
    PictureArray,
    PlainValidator(lambda pixels: pixels),
    PlainSerializer(lambda pixels: base64.b64encode(png_bytes(pixels)).decode(), when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}),
]
"""uint8 [Y, X, 3]; a PNG file in base64 where it is written as JSON."""


@dataclass(frozen=True)
class Drawing:
    """Generated pictures, and what guided them."""

    pictures: tuple[Png, ...] = field(compare=False)
    """Each uint8 [Y, X, 3]; PNG files in base64 in JSON."""
    text: str
    attributes: dict[str, str]
    seed: int
    history: tuple[str, ...]
    cold_start: bool = False
    planned: dict[str, str] = field(default_factory=dict)
    """Attribute values that the words left open and the user's own search expects (`sampling.planned`)."""
    because: tuple[str, ...] = ()
    """The same as a sentence."""


def added(planned: Mapping[str, str], *, history: bool, words: bool) -> tuple[str, ...]:
    """What was drawn beside the words, as a sentence; none where nothing was planned."""
    if not planned:
        return ()
    known = " and ".join(name for name, told in (("the history", history), ("the words", words)) if told)
    verb = "suggest" if words else "suggests"
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in planned.items())
    return (f"Added because {known} {verb} it: {said}.",)


ANSWER_EXAMPLE: dict[str, Any] = {
    "pictures": [PNG_EXAMPLE],
    "text": "a blue bag",
    "attributes": {},
    "seed": 7,
    "history": [],
    "cold_start": True,
    "planned": {},
    "because": [],
}
"""What the JSON of an answer looks like."""
