"""`unimp batch`: one task for all users of a file, in Parquet shards; a stopped run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimp.core.files import atomic_write

if TYPE_CHECKING:
    import polars as pl

    from unimp.batch.lines import Wrong
    from unimp.personalizer import Personalizer
    from unimp.tasks.task import AnyTask

MANIFEST = "batch.json"
SKIPPED = "skipped.csv"


def batch(
    run: Annotated[Path, typer.Argument(help="Run folder made by `unimp train`.")],
    task: Annotated[str, typer.Option(help="A task of the checkpoint, such as recommendation.")],
    users: Annotated[
        Path,
        typer.Option(
            help="Parquet or CSV with user_id (and text, item_id, or candidates and count), or one id a line."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the shards, part-00000.parquet and so on.")],
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Items per user.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of generated pictures.")] = 0,
    shard: Annotated[int, typer.Option(min=1, help="Lines per shard.")] = 10_000,
    skip_wrong: Annotated[
        bool, typer.Option("--skip-wrong", help=f"Leave wrong lines out, and list them in {SKIPPED}.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Answer for all users of a file; finished shards are skipped when it runs again."""
    from unimp.batch.answers import BatchAnswers
    from unimp.batch.lines import read_lines
    from unimp.core.progress import progress_bar
    from unimp.personalizer import load
    from unimp.tasks import TASKS

    kind = TASKS.find(task)
    table = read_lines(users, kind)
    personalizer = load(run, data=data, device=device)
    if task not in personalizer.tasks:
        raise personalizer.answerer.lacking(task)
    chosen = personalizer.answerer.task_named(task)
    options = {
        name: value for name, value in {"k": k, "seed": seed}.items() if name in kind.Request.model_fields
    }
    table, wrong = right_lines(personalizer, chosen, table, options, users, skip_wrong)
    facts = {"task": task, "k": k, "seed": seed, "shard": shard, **identity(personalizer, run, users)}
    claim(out, facts)
    if wrong:
        write_skipped(wrong, out / SKIPPED)
    work = BatchAnswers(personalizer, chosen, options)
    starts = range(0, table.height, shard)
    written = 0
    with progress_bar(task, table.height, show=not as_json) as bar:
        for number, start in enumerate(starts):
            part, target = table.slice(start, shard), out / f"part-{number:05}.parquet"
            if not target.exists():
                write_whole(work.answer(part, start), target)
                written += 1
            bar.advance(part.height)
    summary = {"task": task, "answered": table.height, "skipped": len(wrong)}
    summary |= {"shards": len(starts), "written": written, "out": str(out)}
    if as_json:
        print(json.dumps(summary))
        return
    print(f"{out}: {table.height:,} answered in {len(starts)} shard(s), {written} written now")
    if wrong:
        print(f"{out / SKIPPED}: {len(wrong):,} wrong line(s) left out")


def right_lines(
    personalizer: Personalizer,
    task: AnyTask,
    table: pl.DataFrame,
    options: dict[str, Any],
    path: Path,
    skip_wrong: bool,
) -> tuple[pl.DataFrame, list[Wrong]]:
    """The lines that can be answered, and the others; DataError for the first of those, unless skipped."""
    import polars as pl

    from unimp.batch.lines import LINE, refuse, wrong_lines

    wrong = wrong_lines(personalizer, task, table, options)
    if wrong and (not skip_wrong or len(wrong) == table.height):
        raise refuse(path, wrong)
    return table.filter(~pl.col(LINE).is_in([wrong_line.line for wrong_line in wrong])), wrong


def identity(personalizer: Personalizer, run: Path, users: Path) -> dict[str, Any]:
    """What decides the answers."""
    from unimp.core.files import file_hash
    from unimp.runs.folder import BEST

    dataset = personalizer.run.dataset
    return {"model": file_hash(run / BEST), "data": dataset.data_hash, "users": file_hash(users)}


def claim(out: Path, facts: dict[str, Any]) -> None:
    """Mark the folder; ConfigError when it holds answers to something else."""
    from unimp.core.errors import ConfigError

    path = out / MANIFEST
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"{out}: exists and is not a batch folder; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n")
        return
    before = json.loads(path.read_text())
    for name, value in facts.items():
        if before.get(name) != value:
            raise ConfigError(
                f"{out}: holds answers with another {name} ({before.get(name)}, now {value}); "
                "choose another --out"
            )


def write_skipped(wrong: list[Wrong], target: Path) -> None:
    """`line,reason`, in the order of the file."""
    import polars as pl

    table = pl.DataFrame(
        {
            "line": [wrong_line.line for wrong_line in wrong],
            "reason": [wrong_line.reason for wrong_line in wrong],
        }
    )
    table.write_csv(target)


def write_whole(table: pl.DataFrame, target: Path) -> None:
    """Under another name first: a shard that is there is whole."""
    with atomic_write(target) as temporary:
        table.write_parquet(temporary, compression="zstd")


def register(app: typer.Typer) -> None:
    app.command()(batch)
