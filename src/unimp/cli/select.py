"""`unimp select`: which of these candidates suit a user."""

from __future__ import annotations

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
    bar,
    ids,
    opened,
    show_history,
    whose,
)


def select(
    run: RunPath,
    candidates: Annotated[
        list[str],
        typer.Option(help="Item ids as --history takes them: a,b,c, or repeated, or @FILE. Any order."),
    ],
    count: Annotated[int, typer.Option(help="How many to choose; 0 leaves it to the model.", min=0)] = 1,
    user: User = None,
    history: History = None,
    data: DataPath = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Choose among candidates."""
    asked = whose(user, history)
    personalizer = opened(run, data, device)
    answer = personalizer.select(ids(candidates, "--candidates"), count=count or None, **asked)
    if as_json:
        print(as_document(answer))
        return
    show_history(personalizer, answer.history)
    for candidate in sorted(answer.candidates, key=lambda one: -one.probability):
        mark = "→" if candidate.chosen else " "
        share = candidate.probability
        title = candidate.title if candidate.title != candidate.item_id else ""
        print(f"{mark} {candidate.item_id:>14}  {title:32.32} {share:6.1%} {bar(share)}")


def register(app: typer.Typer) -> None:
    app.command()(select)
