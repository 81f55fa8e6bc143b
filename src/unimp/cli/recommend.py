"""`unimp recommend`: the next items for a user or a history."""

from __future__ import annotations

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


def recommend(
    run: RunPath,
    user: User = None,
    history: History = None,
    k: Count = 10,
    keep_history: KeepHistory = None,
    data: DataPath = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Recommend the next items."""
    asked = whose(user, history)
    personalizer = opened(run, data, device)
    answer = personalizer.recommend(**asked, k=k, exclude_history=masked(keep_history))
    if as_json:
        print(as_document(answer))
        return
    show_history(personalizer, answer.history)
    show_items("recommended", answer.items)


def register(app: typer.Typer) -> None:
    app.command()(recommend)
