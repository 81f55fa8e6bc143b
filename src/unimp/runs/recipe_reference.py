"""Every key of a recipe with its docstring: what `unimp recipe show` prints and `docs/recipe.md` holds.

`python -m unimp.runs.recipe_reference > docs/recipe.md` writes the page again.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.fields import FieldInfo

from unimp.core.config import Config, section_of
from unimp.runs.recipe import Recipe, recipe_about, recipe_names

SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
TYPES = {bool: "true or false", int: "integer", float: "number", str: "text"}
INTRODUCTION = """# Recipes

A recipe is a TOML file of these tables and keys. `base = "NAME"` takes every key that the file does not set
from another recipe; `--set table.key=value` overrides one key on the command line. An unknown key is refused
with the nearest known one. `unimp recipe list` names the recipes that come with the package,
`unimp recipe show NAME` prints the keys that a recipe changes, `--defaults` all of them.

This page is generated from the docstrings of the config classes by
`python -m unimp.runs.recipe_reference > docs/recipe.md`.
"""


@dataclass(frozen=True)
class RecipeKey:
    """One setting of a recipe."""

    name: str
    """Dotted, such as `train.lr`."""
    value: Any
    default: Any
    values: str
    """Which values it takes, in words."""
    doc: str
    """Its docstring, in one line."""


def recipe_keys(recipe: Config, prefix: str = "") -> Iterator[RecipeKey]:
    """The keys of `recipe` in the order of its classes, those of its sections in their place."""
    config = type(recipe)
    for name, field in config.model_fields.items():
        value = getattr(recipe, name)
        if section_of(config, name):
            yield from recipe_keys(value, f"{prefix}{name}.")
        else:
            default = field.get_default(call_default_factory=True)
            doc = " ".join((field.description or "").split())
            yield RecipeKey(prefix + name, value, default, values_of(field), doc)


def values_of(field: FieldInfo) -> str:
    """`integer ≥ 1` and the like."""
    bounds = [
        f"{sign} {bound:g}"
        for limit in field.metadata
        for key, sign in SIGNS.items()
        if (bound := getattr(limit, key, None)) is not None
    ]
    return " ".join([words_of(field.annotation), ", ".join(bounds)]).strip()


def words_of(annotation: Any) -> str:
    """A type in words that a writer of TOML knows."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(words_of(one) for one in inner if one is not type(None))
    if origin is tuple:
        return f"list of {words_of(inner[0])}"
    if origin is dict:
        return f"table of {words_of(inner[1])}"
    if origin is typing.Annotated:
        return words_of(inner[0])
    return TYPES[annotation]


def as_toml(value: Any) -> str:
    """A value as a recipe writes it; `not set` for None, which TOML has no word for."""
    if value is None:
        return "not set"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def recipe_page() -> str:
    """`docs/recipe.md`."""
    parts = [INTRODUCTION, "## Recipes of the package", "| recipe | for |\n|---|---|"]
    parts[-1] += "".join(f"\n| `{name}` | {cell(recipe_about(name))} |" for name in recipe_names())
    tables: dict[str, list[RecipeKey]] = {}
    for key in recipe_keys(Recipe()):
        tables.setdefault(key.name.rpartition(".")[0], []).append(key)
    for table, keys in tables.items():
        section = section_of(Recipe, table)
        about = inspect.getdoc(section) if section else "Above the first table of the file."
        rows = [
            f"| `{key.name.removeprefix(f'{table}.')}` | `{as_toml(key.default)}` | {cell(key.values)} "
            f"| {cell(key.doc)} |"
            for key in keys
        ]
        head = "| key | default | values | meaning |\n|---|---|---|---|"
        parts += [f"## `[{table}]`" if table else "## Top level", about or "", "\n".join([head, *rows])]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def cell(text: str) -> str:
    """Text that may stand in a column of a Markdown table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(recipe_page(), end="")
