"""`unimp batch`: one task for all users of a file, in Parquet shards; a stopped run goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import polars as pl

    from unimp.personalizer import Personalizer

MANIFEST = "batch.json"
NEEDED = {
    "recommendation": ("user_id",),
    "search": ("user_id", "text"),
    "rating": ("user_id", "item_id"),
    "explanation": ("user_id", "item_id"),
}
"""Task -> columns that the file must have."""
AT_ONCE = 256
"""Users scored by one call: bounds the memory at AT_ONCE x items."""


def batch(
    run: Annotated[Path, typer.Argument(help="Run folder made by `unimp train`.")],
    task: Annotated[str, typer.Option(help=f"One of {', '.join(NEEDED)}.")],
    users: Annotated[
        Path, typer.Option(help="Parquet or CSV with user_id (and text, or item_id), or one id a line.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the shards, part-00000.parquet and so on.")],
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Items per user.")] = 10,
    shard: Annotated[int, typer.Option(min=1, help="Users per shard.")] = 10_000,
    data: Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Answer for all users of a file; finished shards are skipped when it runs again."""
    from unimp.personalizer import load
    from unimp.progress import progress_bar

    asked = read_users(users, task)
    personalizer = load(run, data=data, device=device)
    check_users(personalizer, asked, users)
    claim(out, {"task": task, "k": k, "shard": shard, **identity(personalizer, run, users)})
    starts = range(0, asked.height, shard)
    written = 0
    with progress_bar(task, asked.height, show=not as_json) as bar:
        for number, start in enumerate(starts):
            part, target = asked.slice(start, shard), out / f"part-{number:05}.parquet"
            if not target.exists():
                write_whole(answer(personalizer, task, part, k), target)
                written += 1
            bar.advance(part.height)
    summary = {"users": asked.height, "shards": len(starts), "written": written, "out": str(out)}
    print(json.dumps(summary) if as_json else f"{out}: {len(starts)} shard(s), {written} written now")


def read_users(path: Path, task: str) -> pl.DataFrame:
    """The columns that the task needs, as text; DataError when the file or a column is missing."""
    import polars as pl

    from unimp.errors import ConfigError, DataError, did_you_mean

    if task not in NEEDED:
        raise ConfigError(f"--task: unknown task {task!r}{did_you_mean(task, NEEDED)}")
    try:
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
        elif path.suffix == ".csv":
            table = pl.read_csv(path, infer_schema=False)
        else:
            lines = [line.strip() for line in path.read_text().splitlines()]
            table = pl.DataFrame({"user_id": [line for line in lines if line]}, schema={"user_id": pl.String})
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    missing = [name for name in NEEDED[task] if name not in table.columns]
    if missing:
        raise DataError(f"{path}: column(s) missing for {task}: {', '.join(missing)}")
    chosen = table.select(pl.col(name).cast(pl.String) for name in NEEDED[task])
    if chosen.is_empty() or chosen.null_count().sum_horizontal().item():
        raise DataError(f"{path}: {'no users' if chosen.is_empty() else 'missing values'}; fill them in")
    return chosen


def check_users(personalizer: Personalizer, asked: pl.DataFrame, path: Path) -> None:
    """DataError for users or items that are unknown, before any work is done."""
    from unimp.errors import DataError

    known = personalizer.run.dataset.interactions.user_position
    unknown = [user for user in asked["user_id"].unique(maintain_order=True).to_list() if user not in known]
    if unknown:
        raise DataError(
            f'{path}: {len(unknown):,} unknown user(s), the first is "{unknown[0]}"; leave them out'
        )
    if "item_id" in asked.columns:
        personalizer.run.dataset.catalog.rows(asked["item_id"].to_list())


def identity(personalizer: Personalizer, run: Path, users: Path) -> dict[str, Any]:
    """What decides the answers."""
    from unimp.data.dataset import file_hash
    from unimp.train.run import BEST

    dataset = personalizer.run.dataset
    return {"model": file_hash(run / BEST), "data": dataset.data_hash, "users": file_hash(users)}


def claim(out: Path, facts: dict[str, Any]) -> None:
    """Mark the folder; ConfigError when it holds answers to something else."""
    from unimp.errors import ConfigError

    path = out / MANIFEST
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"{out}: exists and is not a batch folder; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        temporary = out.parent / f".{out.name}.{MANIFEST}.{os.getpid()}"
        temporary.write_text(json.dumps(facts, indent=2) + "\n")
        os.replace(temporary, path)
        return
    before = json.loads(path.read_text())
    for name, value in facts.items():
        if before.get(name) != value:
            raise ConfigError(
                f"{out}: holds answers with another {name} ({before.get(name)}, now {value}); "
                "choose another --out"
            )


def answer(personalizer: Personalizer, task: str, part: pl.DataFrame, k: int) -> pl.DataFrame:
    """The answers of one shard, row by row."""
    import polars as pl

    pieces = [
        piece(personalizer, task, part.slice(start, AT_ONCE), k) for start in range(0, part.height, AT_ONCE)
    ]
    return pl.concat(pieces)


def piece(personalizer: Personalizer, task: str, part: pl.DataFrame, k: int) -> pl.DataFrame:
    """The answers of at most AT_ONCE users, by one call of the model."""
    import numpy as np
    import polars as pl

    from unimp.answer import Query
    from unimp.app.http.people import Past, Remembering

    run, answerer = personalizer.run, personalizer.answerer
    positions = [run.dataset.interactions.user_position[user] for user in part["user_id"].to_list()]
    histories = run.dataset.interactions.histories.select(positions)
    if task in {"rating", "explanation"}:
        rows = np.array(run.dataset.catalog.rows(part["item_id"].to_list()), dtype=np.int64)
        if task == "rating":
            return part.with_columns(rating=pl.Series(answerer.rate(histories, rows), dtype=pl.Float32))
        said = answerer.explain(histories, rows)
        ratings = pl.Series([one.rating for one in said], dtype=pl.Float32)
        return part.with_columns(text=pl.Series([one.text for one in said]), rating=ratings)
    if task == "search":
        scores = answerer.search(histories, [Query(text) for text in part["text"].to_list()])
    else:
        scores = answerer.score(histories)
    best = []
    for place, of_items in enumerate(scores):
        asker = Remembering(run, answerer, Past.of_histories(histories.slice(place, place + 1)))
        best.append(asker.best(of_items, k, exclude_history=True))
    return part.with_columns(
        item_ids=pl.Series([[item.item_id for item in items] for items in best], dtype=pl.List(pl.String)),
        scores=pl.Series([[item.score for item in items] for items in best], dtype=pl.List(pl.Float32)),
    )


def write_whole(table: pl.DataFrame, target: Path) -> None:
    """Under another name first: a shard that is there is whole."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        table.write_parquet(temporary, compression="zstd")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def register(app: typer.Typer) -> None:
    app.command()(batch)
