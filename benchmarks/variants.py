"""The command line of benchmarks that train one recipe in several variants and compare them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

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
    if arguments.command == "run":
        run(arguments.data, arguments.out, arguments.recipe, arguments.settings, arguments.only)
    else:
        table(arguments.out)
