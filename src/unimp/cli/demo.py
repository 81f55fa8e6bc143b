"""`unimp demo`: the embedded shop, from nothing to a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the shop, the runs and report.html.")] = Path("demo"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a recipe key: train.epochs=5. Repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON document.")] = False,
) -> None:
    """Generate a small shop, train UniMP on it, compare it with simple methods, write report.html."""
    from rich.console import Console
    from rich.table import Table

    from unimp.demo.demo import document, run_demo

    made = run_demo(out, settings=settings)
    figures = document(made)
    if as_json:
        print(json.dumps(figures))
        return
    tastes = list(made.comparison.users_by_taste)
    table = Table(title="HR@5: does the next item stand among the first five?")
    for heading in ("method", "all users", *(f"{taste} decides" for taste in tastes)):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for row in made.comparison.rows:
        values = [row.metrics["HR@5"], *(row.hit_rate_by_taste[taste] for taste in tastes)]
        table.add_row(row.method, *(f"{value:.3f}" for value in values))
    Console().print(table)
    for name, ratio in figures["hit_rate_ratio"].items():
        print(f"{name}: {ratio:.1f} times")
    print(f"seconds: {sum(made.seconds.values()):.0f}")
    print(f"report: {made.report}")


def register(app: typer.Typer) -> None:
    app.command()(demo)
