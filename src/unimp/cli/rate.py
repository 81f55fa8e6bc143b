"""`unimp rate` and `unimp explain`: what a user will think of an item, as a number and in words."""

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
    named,
    opened,
    show_history,
    whose,
)

ItemId = Annotated[str, typer.Option("--item", help="The item that is asked about.")]


def rate(
    run: RunPath,
    item: ItemId,
    user: User = None,
    history: History = None,
    data: DataPath = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Predict the rating that a user will give an item."""
    asked = whose(user, history)
    personalizer = opened(run, data, device)
    answer = personalizer.rate(item, **asked)
    if as_json:
        print(as_document(answer))
        return
    show_history(personalizer, answer.history)
    print(f"{named(answer.item_id, answer.title).strip()}: {answer.mean:.2f}")
    for level, share in zip(answer.levels, answer.probabilities, strict=True):
        print(f"{level:6g} {share:6.1%} {bar(share)}")


def explain(
    run: RunPath,
    item: ItemId,
    user: User = None,
    history: History = None,
    data: DataPath = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Explain why an item suits a user, with the rating."""
    asked = whose(user, history)
    personalizer = opened(run, data, device)
    answer = personalizer.explain(item, **asked)
    if as_json:
        print(as_document(answer))
        return
    show_history(personalizer, answer.history)
    print(f"{named(answer.item_id, answer.title).strip()}: {answer.rating:.2f}")
    print(f"    {answer.text or '(nothing to say)'}")
    if answer.named:
        print(f"    names: {', '.join(answer.named)}")


def register(app: typer.Typer) -> None:
    app.command()(rate)
    app.command()(explain)
