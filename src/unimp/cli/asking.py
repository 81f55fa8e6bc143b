"""What the commands that ask one question share: whose question it is, and how an answer is shown."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

if TYPE_CHECKING:
    from unimp.personalizer import Personalizer

RunPath = Annotated[Path, typer.Argument(help="Run folder made by `unimp train`.")]
User = Annotated[str | None, typer.Option(help="A user of the data; their whole history counts.")]
History = Annotated[
    str | None, typer.Option(help="Item ids, oldest first, separated by commas; empty: a cold start.")
]
DataPath = Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def opened(run: Path, data: Path | None, device: str) -> Personalizer:
    from unimp.personalizer import load

    return load(run, data=data, device=device)


def whose(user: str | None, history: str | None) -> dict[str, Any]:
    """`user=` or `history=` for a Personalizer; ConfigError without either."""
    from unimp.core.errors import ConfigError

    if user is None and history is None:
        raise ConfigError('give either --user ID or --history ID,ID,… (--history "" is a cold start)')
    if user is not None and history is not None:
        raise ConfigError("give either a user or a history, not both")
    return {"user": user, "history": None if history is None else ids(history)}


def ids(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def as_document(answer: Any) -> str:
    """One JSON document; pictures are left to files."""
    values = {k: v for k, v in asdict(answer).items() if not is_pictures(v)}
    return json.dumps(values)


def is_pictures(value: Any) -> bool:
    return isinstance(value, tuple | list) and bool(value) and isinstance(value[0], np.ndarray)


def show_history(personalizer: Personalizer, history: tuple[str, ...]) -> None:
    """The latest five items, or that it is a cold start."""
    if not history:
        print("no history: a cold start, answered from popularity and content alone")
        return
    catalog = personalizer.run.dataset.catalog
    shown = history[-5:]
    print("history" + (f" (latest 5 of {len(history)})" if len(history) > len(shown) else ""))
    for item_id in shown:
        print(f"    {item_id:>14}  {catalog.label(catalog.row_of[item_id])}")
