"""The plan of docs/scale.md for 100 million users and 10 million items: result files and named assumptions.

    python benchmarks/scale/plan.py

Prints the two tables in Markdown; a test holds docs/scale.md to them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from unimp.runs.memory_needs import EVENT_BYTES

USERS, ITEMS = 100_000_000, 10_000_000
ASSUMPTIONS: dict[str, tuple[float, str]] = {
    "events a user": (20, "of a year; a shop's own log says"),
    "bytes an event": (16, "user and item number, time; as Parquet, packed"),
    "width": (64, "of the answers measured at 10 million items"),
    "neighbours": (24, "12 in each of two item graphs, 8 bytes an entry"),
    "events that train": (50_000_000, "the latest of a sample of 2.5 million users: no user has own weights"),
    "positions that train": (60_000_000, "all epochs together, the rule of the recipe from the data"),
    "requests a second": (2_000, "at the peak"),
    "load": (0.5, "cores are at most half busy at the peak"),
    "hours a month": (730, "replicas stay up"),
    "core-hour, €": (0.04, "with 4 GiB of memory; a round figure, no offer"),
    "further GiB-hour, €": (0.004, "memory beyond that; a round figure"),
    "disk, € a GiB and month": (0.05, "a round figure"),
    "cores of a batch": (128, "eight machines of 16"),
    "bytes a line": (20, "a request of the batch: id and place"),
}
GIB = 2**30


def value(name: str) -> float:
    return ASSUMPTIONS[name][0]


def needs(results: Path) -> list[tuple[str, str, str]]:
    """(what, how much, from what)."""
    answers: Any = json.loads((results / "scale" / "answers-10m.json").read_text())
    steps: Any = json.loads((results / "scale" / "step.json").read_text())
    imports: Any = json.loads((results / "import" / "csv.json").read_text())
    events = USERS * value("events a user")
    largest = max(imports["runs"], key=lambda run: run["events"])
    import_hours = events * largest["processor_seconds"] / largest["events"] / 3600
    log = events * value("bytes an event") / GIB
    table = ITEMS * value("width") * 4 / GIB
    graphs = ITEMS * value("neighbours") * 8 / GIB
    step = next(row["sampled"] for row in steps["seconds a step"] if row["items"] == 1_000_000)
    rate = steps["positions"] / step
    trained = value("events that train") * EVENT_BYTES / GIB
    train_hours = value("positions that train") / rate / 3600
    milliseconds = answers["read"]["p50_cpu_ms"]
    replica = (answers["resident_mib"] + answers["identities_mib"]) / 1024
    cores = value("requests a second") * milliseconds / 1000 / value("load")
    core_euros = value("core-hour, €") + max(replica - 4, 0) * value("further GiB-hour, €")
    month = cores * core_euros * value("hours a month")
    batch_hours = USERS * milliseconds / 1000 / 3600
    return [
        (
            "log",
            f"{events:,.0f} events, {log:.0f} GiB, {log * value('disk, € a GiB and month'):.2f} € a month",
            "assumptions",
        ),
        (
            "import, once",
            f"{import_hours:.1f} core-hours, {import_hours * value('core-hour, €'):.2f} €; {2 * log:.0f} GiB "
            "are written and read again while users are sorted, on one disk or by Ray",
            f"`import/csv.json`: {largest['events']:,} events in {largest['processor_seconds']:.0f} s",
        ),
        (
            "training",
            f"{train_hours:.1f} hours of one core; {trained:.0f} GiB for the events ({EVENT_BYTES} bytes "
            f"each, `runs/memory_needs.py`), {4 * table:.0f} GiB for the table, its copy and moments",
            f"`step.json`: {rate:,.0f} positions a second at 1,000,000 items, width {steps['width']}; "
            "a step does not depend on the number of items",
        ),
        (
            "model, graphs, index, as files",
            f"{table:.1f} + {graphs:.1f} + {answers['index_mib'] / 1024:.1f} GiB",
            "assumptions; `answers-10m.json`",
        ),
        (
            "index, when the weights change",
            f"{answers['build']['cpu_seconds_with_recall']:.0f} s of one core, its recall measured",
            "`answers-10m.json`",
        ),
        (
            "one replica",
            f"one core, {replica:.1f} GiB, identities included",
            "`answers-10m.json`",
        ),
        (
            "replicas at the peak",
            f"{cores:.0f} cores, {cores * replica:,.0f} GiB; {month:,.0f} € a month",
            f"`answers-10m.json`: {milliseconds} ms, the history read anew",
        ),
        (
            "answers for all users, once",
            f"{batch_hours:.0f} core-hours, {batch_hours * core_euros:.0f} €; "
            f"{batch_hours / value('cores of a batch'):.1f} hours on {value('cores of a batch'):.0f} cores",
            "the same",
        ),
        (
            "shuffle of that batch",
            f"{USERS * value('bytes a line') / GIB:.1f} GiB by a hash of the user, once",
            "assumptions",
        ),
    ]


def lines(results: Path) -> list[str]:
    """Both tables."""
    found = ["| assumption | value | why |", "|---|---|---|"]
    found += [f"| {name} | {number:,.10g} | {why} |" for name, (number, why) in ASSUMPTIONS.items()]
    found += ["", "| need | figure | from |", "|---|---|---|"]
    return found + [f"| {what} | {figure} | {source} |" for what, figure, source in needs(results)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    print("\n".join(lines(parser.parse_args().results)))


if __name__ == "__main__":
    main()
