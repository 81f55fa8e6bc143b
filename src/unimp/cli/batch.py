"""`unimp batch`: one task for all users of a file, in Parquet shards; a stopped run goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimp.cli.engine import Engine, check_engine

if TYPE_CHECKING:
    import polars as pl

    from unimp.batch.answers import BatchAnswers
    from unimp.batch.job import BatchJob
    from unimp.batch.lines import Wrong
    from unimp.personalizer import Personalizer
    from unimp.tasks.task import AnyTask

SKIPPED = "skipped.csv"


# One parameter per option makes it long; the body is short.
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
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1, help="Shards by a hash of the user instead of consecutive lines; --engine ray: by --shard."
        ),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="local, or ray: the machines of a cluster.")] = Engine.local,
    address: Annotated[
        str | None, typer.Option(help="ray: HOST:PORT of the cluster; default: one of this machine.")
    ] = None,
    skip_wrong: Annotated[
        bool, typer.Option("--skip-wrong", help=f"Leave wrong lines out, and list them in {SKIPPED}.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Answer for all users of a file; finished shards are skipped when it runs again."""
    # Long by its options, which typer reads from the signature; the work is in the functions it calls.
    from unimp.batch.answers import BatchAnswers
    from unimp.batch.job import BatchJob, claim, consecutive_parts, parts_by_user, placed
    from unimp.batch.lines import read_lines
    from unimp.personalizer import load
    from unimp.tasks import TASKS

    check_engine(engine, address=address)
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
    if engine is Engine.ray:
        partitions = partitions or -(-table.height // shard)
    facts = {"task": task, "k": k, "seed": seed, "shard": shard, **identity(personalizer, run, users)}
    claim(out, facts if partitions is None else facts | {"shard": None, "partitions": partitions})
    if wrong:
        write_skipped(wrong, out / SKIPPED)
    table = placed(table)
    parts = consecutive_parts(table, shard) if partitions is None else parts_by_user(table, partitions)
    job = BatchJob(run.resolve(), data and data.resolve(), device, task, options, out.resolve())
    if engine is Engine.ray:
        from unimp.scale.batch import answer_parts

        written = answer_parts(job, parts, address, show=not as_json)
    else:
        work = BatchAnswers(personalizer, chosen, options)
        written = answer_here(job, work, parts, show=not as_json)
    summary = {"task": task, "answered": table.height, "skipped": len(wrong)}
    summary |= {"shards": len(parts), "written": written, "out": str(out)}
    if as_json:
        print(json.dumps(summary))
        return
    print(f"{out}: {table.height:,} answered in {len(parts)} shard(s), {written} written now")
    if wrong:
        print(f"{out / SKIPPED}: {len(wrong):,} wrong line(s) left out")


def answer_here(job: BatchJob, work: BatchAnswers, parts: list[pl.DataFrame], *, show: bool) -> int:
    """Answer the parts that are not there yet, one after the other; how many that were."""
    from unimp.core.progress import progress_bar

    unfinished = job.unfinished(parts)
    with progress_bar(job.task, sum(part.height for part in parts), show=show) as bar:
        for number, part in enumerate(parts):
            if number in unfinished:
                job.finish(work, number, part)
            bar.advance(part.height)
    return len(unfinished)


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


def register(app: typer.Typer) -> None:
    app.command()(batch)
