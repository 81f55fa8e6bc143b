"""Time and memory of `unimp data import csv` on shops of any size.

    python ../shared/tools/make_shop.py SHOP 100000 500000 5000000
    python benchmarks/data/import_tables.py SHOP [SHOP …] [--times 3] [--heavy 60000] [--out FILE.json]

Each import runs in a process of its own. `--times N` gives the file of events N times: a longer log of
the same users; `--heavy N` adds one account with N events. Processor seconds are what the work itself took;
the wall clock's also depend on what else the machine does, so its load is recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COMMAND = "import sys; from unimp.cli.main import main; sys.exit(main())"


def heavy_account(shop: Path, events: int, folder: Path) -> Path:
    """A file of events of one account that buys the shop's items over and over."""
    with (shop / "items.csv").open() as file:
        next(file)
        items = [line.split(",")[0] for line, _ in zip(file, range(1000), strict=False)]
    path = folder / "heavy.csv"
    with path.open("w") as out:
        out.write("user_id,item_id,timestamp\n")
        out.writelines(f"guest,{items[n % len(items)]},{1_600_000_000 + n}\n" for n in range(events))
    return path


def measure(shop: Path, times: int, heavy: int) -> dict[str, Any]:
    """One import: seconds, peak memory, and what was counted."""
    with tempfile.TemporaryDirectory(dir=shop.parent) as folder:
        arguments = ["--events", "events.csv"] * times
        if heavy:
            arguments += ["--events", str(heavy_account(shop, heavy, Path(folder)).resolve())]
        command = [sys.executable, "-c", COMMAND, "data", "import", "csv", str(shop), "--json"]
        command += ["--out", f"{folder}/out", *arguments]
        load, started = os.getloadavg()[0], time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        shown = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if status:
            raise SystemExit(f"{shop}: the import failed; run it by hand: {' '.join(command)}")
        counts = json.loads(shown)["counts"]
        return {
            "shop": shop.name,
            "users": counts["users"],
            "items": counts["items"],
            "events": counts["events"],
            "heaviest_account_added": heavy,
            "events_mib": round((shop / "events.csv").stat().st_size * times / 2**20),
            "wall_seconds": round(wall, 1),
            "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "peak_mib": round(usage.ru_maxrss / 1024),
            "load_before": round(load, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shops", nargs="+", type=Path)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--heavy", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    runs = []
    for shop in given.shops:
        runs.append(measure(shop, given.times, given.heavy))
        print(json.dumps(runs[-1]), flush=True)
    if given.out is not None:
        earlier = json.loads(given.out.read_text())["runs"] if given.out.exists() else []
        machine = {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps({"machine": machine, "runs": earlier + runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
