"""Memory that a data folder takes once it is opened, by its number of events.

    python benchmarks/data/open_memory.py [--events 5000000,31800000] [--out FILE.json]

Folders of 23 events a user on average, without ratings or words, 105,000 items, are written and opened in
processes of their own. `bytes_per_event` is what opening and the histories add to the process before them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from unimp.data.catalog import Attribute, Catalog
from unimp.data.dataset import write_folder
from unimp.data.interactions import COLUMNS

ITEMS, PER_USER = 105_000, 23
OPEN = """
import json, resource, sys
import pyarrow.parquet, torch
from unimp.data.dataset import Dataset
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
events = Dataset.load(sys.argv[1]).interactions.histories.num_events
print(json.dumps({"events": events, "peak_mib": peak() >> 20, "bytes_per_event": (peak() - before) / events}))
"""


def write(folder: Path, events: int) -> None:
    """A data folder whose events lie by user."""
    rng = np.random.default_rng(0)
    users = np.sort(rng.integers(max(1, events // PER_USER), size=events))
    table = pl.DataFrame(
        {
            "user_id": pl.Series(users, dtype=pl.UInt32),
            "item_row": rng.integers(ITEMS, size=events),
            "timestamp": 1_600_000_000 + rng.integers(10_000_000, size=events),
        }
    )
    del users
    table = table.with_columns(pl.format("u{}", "user_id").alias("user_id"))
    empty = [pl.lit(None, dtype=kind).alias(name) for name, kind in COLUMNS.items() if name not in table]
    items = pl.DataFrame(
        {"item_id": [f"i{n}" for n in range(ITEMS)], "picture": pl.Series([None] * ITEMS, dtype=pl.String)}
    )
    catalog = Catalog(items.with_columns(title=pl.lit("thing")), (Attribute("title", "text"),), "title", None)
    whole = table.with_columns(empty).select(list(COLUMNS))
    write_folder(folder, catalog, lambda path: whole.write_parquet(path), None, source="csv")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", default="5000000,31800000")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.write:
        write(Path(given.write), int(given.events))
        return
    runs = []
    for events in given.events.split(","):
        with tempfile.TemporaryDirectory() as place:
            folder = f"{place}/data"
            subprocess.run([sys.executable, __file__, "--events", events, "--write", folder], check=True)
            runs.append(json.loads(subprocess.check_output([sys.executable, "-c", OPEN, folder])))
        print(json.dumps(runs[-1]), flush=True)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps({"runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
