"""`unimp recommend`: the next items for a user or a history."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def recommend(
    run: Annotated[Path, typer.Argument(help="Run folder made by `unimp train`.")],
    user: Annotated[str | None, typer.Option(help="A user of the data; their whole history counts.")] = None,
    history: Annotated[
        str | None, typer.Option(help="Item ids, oldest first, separated by commas; empty: a cold start.")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many items.")] = 10,
    keep_history: Annotated[
        bool, typer.Option("--keep-history", help="Items of the history may be recommended again.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Recommend the next items."""
    from unimp.personalizer import load

    ids = None if history is None else [part.strip() for part in history.split(",") if part.strip()]
    personalizer = load(run, data=data, device=device)
    answer = personalizer.recommend(ids, user=user, k=k, exclude_history=not keep_history)
    if as_json:
        print(json.dumps(asdict(answer)))
        return
    catalog = personalizer.run.dataset.catalog
    if answer.cold_start:
        print("no history: a cold start, ordered by popularity and content alone")
    else:
        shown = answer.history[-5:]
        earlier = len(answer.history) - len(shown)
        print(f"history{f' (latest 5 of {len(answer.history)})' if earlier else ''}")
        for item_id in shown:
            print(f"    {item_id:>14}  {catalog.label(catalog.row_of[item_id])}")
    print("recommended")
    for place, item in enumerate(answer.items, start=1):
        print(f"{place:3} {item.item_id:>14}  {item.title}  {item.score:.3f}")


def register(app: typer.Typer) -> None:
    app.command()(recommend)
