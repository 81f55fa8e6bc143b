"""A newcomer's way: exports of products and orders as Shopify writes them, to the first recommendations.

    python benchmarks/data/newcomer.py [--products 300] [--customers 500] [--out FILE.json]

Three commands with no option but where things are: import, train, recommend. Their wall clock, processor
seconds and peak memory are recorded, and what the last one said.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-c", "import sys; from unimp.cli.main import main; sys.exit(main())"]
KINDS = ("Shirt", "Mug", "Bag", "Lamp", "Scarf")
COLOURS = ("Red", "Blue", "Green", "Black")
SIZES = ("S", "L")


def title_of(number: int) -> str:
    return f"{COLOURS[number // len(KINDS) % len(COLOURS)]} {KINDS[number % len(KINDS)]} {number}"


def write_products(path: Path, count: int) -> None:
    """A row per variant; only a product's first row says what it is."""
    header = ["Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Option1 Name"]
    header += ["Option1 Value", "Variant SKU", "Variant Price", "Status"]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(header)
        for number in range(count):
            title, kind = title_of(number), KINDS[number % len(KINDS)]
            handle = title.lower().replace(" ", "-")
            about = [title, f"<p>A {title.lower()}.</p>", f"Maker {number % 7}", kind, kind, "TRUE", "Size"]
            for size in SIZES:
                variant = [size, f"SKU-{number}-{size}", f"{5 + number % 40}.90", "active"]
                rows.writerow([handle, *(about if size == SIZES[0] else [""] * len(about)), *variant])


def write_orders(path: Path, products: int, customers: int, seed: int = 0) -> None:
    """A row per line; customers keep to one kind of product, and to products near one another."""
    rng = random.Random(seed)
    header = ["Name", "Email", "Financial Status", "Created at", "Lineitem quantity", "Lineitem name"]
    header += ["Lineitem price", "Lineitem sku", "Cancelled at"]
    number = 1000
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(header)
        for customer in range(customers):
            taste = rng.randrange(products)
            for month in range(1, rng.randrange(3, 8)):
                number += 1
                day, hour = rng.randrange(1, 29), rng.randrange(24)
                first = [
                    f"customer{customer}@shop.example",
                    "paid",
                    f"2024-{month:02}-{day:02} {hour:02}:00:00 -0400",
                ]
                for line in range(rng.randrange(1, 4)):
                    bought = (taste + rng.choice((0, 1, 1, 2, 3, 5, 8)) * len(KINDS)) % products
                    size = rng.choice(SIZES)
                    of_order = first if line == 0 else [""] * len(first)
                    named = ["1", f"{title_of(bought)} - {size}", "9.90", f"SKU-{bought}-{size}", ""]
                    rows.writerow([f"#{number}", *of_order, *named])


def timed(*arguments: str) -> dict[str, Any]:
    """One command: what it took, and its last lines."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as progress:
        process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=progress)
        assert process.stdout is not None
        said = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            progress.seek(0)
            raise SystemExit(f"unimp {' '.join(arguments)}: {progress.read().decode()[-500:]}")
    shown = [argument if "/" not in argument else Path(argument).name for argument in arguments]
    return {
        "command": f"unimp {' '.join(shown)}",
        "wall_seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "said": said.splitlines()[:6],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=300)
    parser.add_argument("--customers", type=int, default=500)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        exports, data, run = (Path(place) / name for name in ("exports", "shop", "run"))
        exports.mkdir()
        write_products(exports / "products_export_1.csv", given.products)
        write_orders(exports / "orders_export_1.csv", given.products, given.customers)
        load = os.getloadavg()[0]
        steps = [
            timed("data", "import", "shopify", str(exports), "--out", str(data)),
            timed("train", "--data", str(data), "--out", str(run)),
            timed("recommend", str(run), "--user", "customer7@shop.example", "-k", "5"),
        ]
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    result = {
        "machine": machine | {"load_before": round(load, 1)},
        "products": given.products,
        "customers": given.customers,
        "processor_seconds": round(sum(step["processor_seconds"] for step in steps), 1),
        "wall_seconds": round(sum(step["wall_seconds"] for step in steps), 1),
        "steps": steps,
    }
    print(json.dumps(result, indent=2))
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
