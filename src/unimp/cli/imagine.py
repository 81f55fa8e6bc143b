"""`unimp imagine`: pictures of what words and attributes ask for, in a user's taste."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unimp.cli.asking import (
    AsJson,
    DataPath,
    Device,
    History,
    RunPath,
    User,
    as_document,
    opened,
    show_history,
    whose,
)


def imagine(
    run: RunPath,
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")],
    text: Annotated[str, typer.Option("--text", "-t", help="What the picture shall show, in words.")] = "",
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", "-a", help="NAME=VALUE as the catalogue has it.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many pictures.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed draws the same pictures.")] = 0,
    temperature: Annotated[float | None, typer.Option(help="Below 1: likelier pictures; 0: one.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw among the likeliest codes only.")] = None,
    user: User = None,
    history: History = None,
    data: DataPath = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Generate pictures."""
    import json

    from PIL import Image

    from unimp.core.errors import ConfigError

    asked = whose(user, history)
    pairs = [one.partition("=") for one in attribute or ()]
    for name, equals, _ in pairs:
        if not equals:
            raise ConfigError(f"--attribute {name}: expected NAME=VALUE")
    personalizer = opened(run, data, device)
    answer = personalizer.imagine(
        text,
        attributes={name.strip(): value.strip() for name, _, value in pairs},
        count=count,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        **asked,
    )
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{seed}-{place:02}.png" for place in range(count)]
    for file, picture in zip(files, answer.pictures, strict=True):
        Image.fromarray(picture).save(file)
    if as_json:
        print(json.dumps(json.loads(as_document(answer)) | {"files": [str(file) for file in files]}))
        return
    show_history(personalizer, answer.history)
    for file in files:
        print(file)


def register(app: typer.Typer) -> None:
    app.command()(imagine)
