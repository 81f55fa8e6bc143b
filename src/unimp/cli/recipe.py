"""`unimp recipe`: the recipes that come with the package, and every key of one with its meaning."""

from __future__ import annotations

import json
import textwrap
from typing import Annotated

import typer

recipe = typer.Typer(help="List recipes, and print the settings of one.")
AS_JSON = typer.Option("--json", help="Print one JSON document.")


@recipe.command("list")
def list_recipes(as_json: Annotated[bool, AS_JSON] = False) -> None:
    """The recipes that come with the package, and what each is for."""
    from unimp.runs.recipe import FORMER_NAMES, recipe_about, recipe_names

    former = {name: [old for old, new in FORMER_NAMES.items() if new == name] for name in recipe_names()}
    about = {name: recipe_about(name) for name in recipe_names()}
    if as_json:
        rows = [{"name": n, "about": about[n], "former_names": former[n]} for n in recipe_names()]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for name, text in about.items():
        also = f" (formerly {', '.join(former[name])})" if former[name] else ""
        print(f"{name}{also}")
        print(indented(text))


@recipe.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a packaged recipe, or a path to a TOML file.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe key: train.lr=1e-4. Repeatable.")
    ] = None,
    defaults: Annotated[bool, typer.Option(help="Print the keys at their defaults as well.")] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """The keys that a recipe changes, its bases resolved, each with its meaning."""
    from unimp.runs.recipe import load_recipe
    from unimp.runs.recipe_reference import as_toml, recipe_keys

    resolved = load_recipe(name, settings or ())
    keys = [key for key in recipe_keys(resolved) if defaults or key.value != key.default]
    if as_json:
        rows = [
            {"key": k.name, "value": k.value, "default": k.default, "values": k.values, "meaning": k.doc}
            for k in keys
        ]
        print(json.dumps({"recipe": resolved.name, "keys": rows}, indent=2, ensure_ascii=False))
        return
    for key in keys:
        changed = f"  (default {as_toml(key.default)})" if key.value != key.default else ""
        print(f"{key.name} = {as_toml(key.value)}{changed}")
        print(indented(key.doc))


def indented(text: str) -> str:
    """A paragraph under the line that it explains."""
    return textwrap.fill(text, 100, initial_indent="    ", subsequent_indent="    ")


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(recipe, name="recipe", no_args_is_help=True)
