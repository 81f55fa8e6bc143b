"""What benchmarks share that train one recipe in several variants and compare them: command line, files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.exits import one_line_errors

Run = Callable[[Path, Path, str, list[str], list[str]], None]
"""Data folder, output folder, recipe, settings, names of the variants wanted (none: all)."""


def variants_command(doc: str | None, recipe: str, run: Run, table: Callable[[Path], None]) -> None:
    """`run DATA --out FOLDER …` and `table FOLDER`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("data", type=Path)
    running.add_argument("--out", type=Path, required=True)
    running.add_argument("--recipe", default=recipe)
    running.add_argument("--only", action="append", default=[], help="a variant's name; default: all")
    running.add_argument("--set", action="append", default=[], dest="settings")
    shown = commands.add_parser("table")
    shown.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with one_line_errors():
        if arguments.command == "run":
            run(arguments.data, arguments.out, arguments.recipe, arguments.settings, arguments.only)
        else:
            table(arguments.out)


def save_variant(place: Path, report: dict[str, Any], columns: dict[str, Any]) -> None:
    """`place`.json, and beside it what each test case gave."""
    pl.DataFrame(columns).write_parquet(place.with_suffix(".parquet"), compression="zstd")
    place.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")


def load_variants(out: Path, base: str) -> dict[str, tuple[dict[str, Any], pl.DataFrame]]:
    """Report and cases of every finished variant by name; ends the program when `base` is not among them."""
    reports = {
        report["variant"]: (report, pl.read_parquet(path.with_suffix(".parquet")))
        for path in sorted(out.glob("*.json"))
        for report in [json.loads(path.read_text())]
    }
    if base not in reports:
        sys.exit(f"{out}: no result of {base!r}; run `run` first")
    return reports
