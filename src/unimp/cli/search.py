"""`unimp search`: items that answer words, a picture, or both, in a user's taste."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unimp.cli.asking import (
    AsJson,
    Count,
    DataPath,
    Device,
    History,
    KeepHistory,
    RunPath,
    User,
    as_document,
    masked,
    opened,
    show_history,
    show_items,
    whose,
)


def search(
    run: RunPath,
    text: Annotated[str, typer.Option("--text", "-t", help="What is looked for, in words.")] = "",
    picture: Annotated[Path | None, typer.Option(help="A picture file of what is looked for.")] = None,
    user: User = None,
    history: History = None,
    k: Count = 10,
    keep_history: KeepHistory = None,
    data: DataPath = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Search with words, a picture, or both."""
    asked = whose(user, history)
    personalizer = opened(run, data, device)
    answer = personalizer.search(text, picture, **asked, k=k, exclude_history=masked(keep_history))
    if as_json:
        print(as_document(answer))
        return
    show_history(personalizer, answer.history)
    show_items("found", answer.items)


def register(app: typer.Typer) -> None:
    app.command()(search)
