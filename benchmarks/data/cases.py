"""Inputs of real users that went wrong, before and after: every folder that holds a `run.sh`.

    python benchmarks/data/cases.py CASES --state before=OLD/bin/unimp --state after=.venv/bin/unimp
        [--only NAME]… [--limit 900] [--out FILE.json]

A state is a name and a `unimp`, with its `python` beside it. Each case runs in a copy of CASES. The result
has its exit status, processor seconds and last lines, and whether they say what WANTED asks for; a case that
takes longer than `--limit` seconds is ended and judged by what it had printed. FILE is added to.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

SHOWN = 40
"""Last lines of a case that are recorded."""
IN_HISTORY = r"targets are in the user's own history"
WANTED: dict[str, tuple[str, ...]] = {
    "bad-rows-hidden": (r"no usable event.*\(8 bad rows, 100 allowed.*the first: events\.csv:2",),
    "device-traceback": (
        r"error: --device cuda: .*available: auto, cpu",
        r"error: --device gpu: unknown; available: auto, cpu",
        r"error: --device cuda:9: .*available: auto, cpu",
    ),
    "large-catalogue-first-train": (r"structure\.kind=(cosine|slim)", r"training: "),
    "movielens-utf8": (r"^Misérables, Les$",),
    "netflix-val-equals-test": (r"in test\.json too", r"^EASE +0\.0*[1-9]", IN_HISTORY),
    "own-picture-search": (r"rank of the pictured item: median 1(\.0)?, first 60, in ten 60",),
    "picture-modes": (
        r"reads \(60, 90\)",
        r"background \[255 255 255\] product \[10 10 10\]",
        r"mean 127\.5",
    ),
    "pictures-of-a-shop": (
        r"== broken\n.*no item has a picture",
        # two of three items name none; the address goes by the file of its name in pictures/
        *(rf"== {kind}\n *2 item\(s\) without a picture" for kind in ("prefix", "url", "several")),
    ),
    "repeat-purchases": (IN_HISTORY, r"keep-history", r"^EASE +0\.0000 ", r"-- the same, unmasked"),
    "subsecond-order": (r"^\['A2', 'A3', 'A1', 'A4'\]$",),
    "tables-as-people-have-them": (
        r"== semicolon\n(?!error)",
        r"== tab\n(?!error)",
        r"latin1/items\.csv:2: not utf-8 text.*--encoding latin-1",
        r"== xlsx\nerror: .*save the sheet as CSV",
        r"== emptyrows\n(?!error)",
    ),
    "times": (
        r"excel_serial.*\n.*\n *read as 2020-09-16 12:00:00",
        r"ga4_date.*\n.*\n *read as 2020-09-16 00:00:00",
        r"ms_in_timestamp.*\n.*\n *read as 2020-09-16 12:30:00",
        r"pandas_tz.*\n.*\n *read as 2020-09-16 12:30:00",
        r"us_date.*\n.*\n *read as 2020-09-16 08:26:00",
    ),
    "two-trains": (r"^second rc=2$", r"^first rc=0$", r"^40 run/log\.jsonl$"),
    "unnamed-index-column": (r"== index\n(?!error)", r"== trailing\n(?!error)", r"== helper\n(?!error)"),
}
"""Case -> patterns, each of which its output must have somewhere."""
UNWANTED = r"Traceback \(most recent call last\)|\w+Error: "


def run_case(cases: Path, name: str, unimp: Path, limit: float) -> dict[str, Any]:
    """One case in a copy of all of them, since some read a neighbour's data."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(cases, Path(scratch) / "cases", copy_function=shutil.copyfile))
        for folder in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
        log = Path(scratch) / "log"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["sh", str(copy / name / "run.sh")],
                env=os.environ | {"UNIMP": str(unimp)},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                status = None
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = log.read_text(errors="replace").replace(str(copy), "cases")
    missing = [wish for wish in WANTED.get(name, ()) if not re.search(wish, text, re.MULTILINE)]
    traceback = re.search(UNWANTED, text)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {
        "status": "ended by --limit" if status is None else status,
        "processor_seconds": round(seconds, 1),
        "as_wanted": not missing and traceback is None,
        "missing": missing + ([traceback[0]] if traceback else []),
        "last_lines": text.splitlines()[-SHOWN:],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", type=Path)
    parser.add_argument("--state", action="append", required=True, help="NAME=PATH of a `unimp`.")
    parser.add_argument("--only", action="append")
    parser.add_argument("--limit", type=float, default=900)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    if given.out is not None and given.out.exists():
        results = json.loads(given.out.read_text())
    for state in given.state:
        label, _, unimp = state.partition("=")
        for folder in sorted(given.cases.glob("*/run.sh")):
            name = folder.parent.name
            if given.only and name not in given.only:
                continue
            found = run_case(given.cases, name, Path(unimp).absolute(), given.limit)
            results.setdefault(name, {})[label] = found
            verdict = "as wanted" if found["as_wanted"] else f"missing: {found['missing']}"
            print(f"{label:8} {name:28} {found['processor_seconds']:7.1f} s  {verdict}", flush=True)
            if given.out is not None:
                given.out.parent.mkdir(parents=True, exist_ok=True)
                given.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
