"""Peak memory of every importer, of opening and of checking a data folder, on logs that grow.

    python benchmarks/data/import_memory.py [--events 150000,450000] [--layouts "hm;mind"] [--divide 64]
        [--out FILE.json]

Each layout is written as published, with the same users and items at every size, so that only the log grows.
Blocks and runs are divided by `--divide`, so that the bound shows on small logs. Every step runs in a
process of its own; `mib_per_million` is what a million further events take, from the smallest log to the
largest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

USERS, ITEMS = 50_000, 10_000
MAIN = "import sys; from unimp.cli.main import main; sys.exit(main())"
IMPORT = (
    """
import sys
divisor = int(sys.argv.pop(1))
from unimp.data import csv_reading, event_log, json_lists, reading
from unimp.data.sources import sequences
event_log.SPILL_BYTES //= divisor
csv_reading.BLOCK_BYTES //= divisor
reading.BLOCK_BYTES //= divisor
reading.JSON_BYTES //= divisor
json_lists.BLOCK //= divisor
sequences.TABLE_EVENTS //= divisor
"""
    + MAIN
)
OPEN = "import sys; from unimp.data.dataset import Dataset; Dataset.load(sys.argv[1]).interactions.histories"
START = 1_600_000_000
Event = tuple[int, int, int]


def log(events: int) -> Iterator[Event]:
    """User, item and second of each event; the same for the same number."""
    rng = np.random.default_rng(events)
    for start in range(0, events, 1 << 18):
        size = min(1 << 18, events - start)
        users, items = rng.integers(USERS, size=size), (rng.random(size) ** 2 * ITEMS).astype(int)
        times = START + rng.integers(86_400 * 365, size=size)
        yield from zip(users.tolist(), items.tolist(), times.tolist(), strict=True)


def lines(path: Path, header: str, rows: Iterator[str] | list[str]) -> None:
    with path.open("w") as file:
        file.write(header)
        file.writelines(rows)


def movielens(folder: Path, events: int) -> None:
    lines(
        folder / "movies.csv",
        "movieId,title,genres\n",
        [f"{n},Film {n} (1999),Drama\n" for n in range(ITEMS)],
    )
    rows = (f"{u},{i},4.5,{t}\n" for u, i, t in log(events))
    lines(folder / "ratings.csv", "userId,movieId,rating,timestamp\n", rows)


def movielens_dat(folder: Path, events: int) -> None:
    lines(folder / "movies.dat", "", [f"{n}::Film {n} (1999)::Drama\n" for n in range(ITEMS)])
    lines(folder / "ratings.dat", "", (f"{u}::{i}::4::{t}\n" for u, i, t in log(events)))


def amazon(folder: Path, events: int) -> None:
    rows = (
        f'{{"rating": 5.0, "title": "Good", "text": "It does what it says.", "user_id": "A{u}", '
        f'"parent_asin": "B{i}", "timestamp": {t}000}}\n'
        for u, i, t in log(events)
    )
    lines(folder / "Toys.jsonl", "", rows)


def amazon_csv(folder: Path, events: int) -> None:
    rows = (f"A{u},B{i},5.0,{t}000\n" for u, i, t in log(events))
    lines(folder / "Toys.csv", "user_id,parent_asin,rating,timestamp\n", rows)


def yelp(folder: Path, events: int) -> None:
    shops = [
        json.dumps({"business_id": f"b{n}", "name": f"Cafe {n}", "categories": "Food"}) + "\n"
        for n in range(ITEMS)
    ]
    lines(folder / "yelp_academic_dataset_business.json", "", shops)
    rows = (
        f'{{"user_id": "u{u}", "business_id": "b{i}", "stars": 4.0, "date": "{np.datetime64(t, "s")}", '
        '"text": "Nice place."}\n'
        for u, i, t in log(events)
    )
    lines(folder / "yelp_academic_dataset_review.json", "", (row.replace("T", " ", 1) for row in rows))


def goodreads(folder: Path, events: int) -> None:
    lines(
        folder / "goodreads_books.json",
        "",
        [f'{{"book_id": "{n}", "title": "Book {n}"}}\n' for n in range(ITEMS)],
    )
    lines(folder / "book_id_map.csv", "book_id_csv,book_id\n", [f"{n},{n}\n" for n in range(ITEMS)])
    rows = (f"{u},{i},1,4,0\n" for u, i, _ in log(events))
    lines(folder / "goodreads_interactions.csv", "user_id,book_id,is_read,rating,is_reviewed\n", rows)


def hm(folder: Path, events: int) -> None:
    lines(
        folder / "articles.csv",
        "article_id,prod_name\n",
        [f"0{100_000_000 + n},Shirt {n}\n" for n in range(ITEMS)],
    )
    rows = (
        f"{np.datetime64(t, 's').astype('datetime64[D]')},{u:064x},0{100_000_000 + i},0.0{1 + i % 9}\n"
        for u, i, t in log(events)
    )
    lines(folder / "transactions_train.csv", "t_dat,customer_id,article_id,price\n", rows)


def recbole(folder: Path, events: int) -> None:
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    lines(folder / "ml.inter", header, (f"{u}\t{i}\t4.0\t{t}\n" for u, i, t in log(events)))


def retailrocket(folder: Path, events: int) -> None:
    rows = (f"{t}000,{u},view,{i},\n" for u, i, t in log(events))
    lines(folder / "events.csv", "timestamp,visitorid,event,itemid,transactionid\n", rows)


def sequences(folder: Path, events: int) -> None:
    each = events // USERS
    rng = np.random.default_rng(0)
    rows = (f"u{n} {' '.join(map(str, rng.integers(ITEMS, size=each)))}\n" for n in range(USERS))
    lines(folder / "sequences.txt", "", rows)


def mind(folder: Path, events: int) -> None:
    news = [f"N{n}\tsports\tgolf\tTitle {n}\t\t\t\t\n" for n in range(ITEMS)]
    lines(folder / "news.tsv", "", news)
    rows = (
        f"{n}\tU{u}\t11/15/2019 8:55:22 PM\tN1 N2 N3\tN{i}-1 " + " ".join(f"N{i}-0" for _ in range(20)) + "\n"
        for n, (u, i, _) in enumerate(log(events))
    )
    lines(folder / "behaviors.tsv", "", rows)


def shopify(folder: Path, events: int) -> None:
    lines(
        folder / "products.csv", "Handle,Title,Variant SKU\n", [f"h{n},Mug {n},S{n}\n" for n in range(ITEMS)]
    )
    rows = (
        f"#{n},u{u}@shop.example,paid,{str(np.datetime64(t, 's')).replace('T', ' ')} -0400,1,Mug {i},S{i}\n"
        for n, (u, i, t) in enumerate(log(events))
    )
    header = "Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem name,Lineitem sku\n"
    lines(folder / "orders.csv", header, rows)


def woocommerce(folder: Path, events: int) -> None:
    lines(folder / "products.csv", "ID,Type,SKU,Name\n", [f"{n},simple,S{n},Mug {n}\n" for n in range(ITEMS)])
    rows = (
        f"{n},completed,{str(np.datetime64(t, 's')).replace('T', ' ')},{u + 1},{i}\n"
        for n, (u, i, t) in enumerate(log(events))
    )
    lines(folder / "orders.csv", "Order Number,Order Status,Order Date,Customer User ID,Product ID\n", rows)


def own(folder: Path, events: int) -> None:
    lines(folder / "items.csv", "item_id,title\n", [f"{n},Mug {n}\n" for n in range(ITEMS)])
    lines(
        folder / "events.csv", "user_id,item_id,timestamp\n", (f"u{u},{i},{t}\n" for u, i, t in log(events))
    )


def own_json(folder: Path, events: int) -> None:
    lines(folder / "items.csv", "item_id,title\n", [f"{n},Mug {n}\n" for n in range(ITEMS)])
    rows = (f',\n{{"user_id": "u{u}", "item_id": {i}, "timestamp": {t}}}' for u, i, t in log(events))
    lines(folder / "events.json", '[{"user_id": "u0", "item_id": 0, "timestamp": 1600000000}', rows)
    with (folder / "events.json").open("a") as file:
        file.write("]\n")


LAYOUTS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "csv": ("csv", own), "csv, a JSON list": ("csv", own_json),
    "movielens": ("movielens", movielens), "movielens, .dat": ("movielens", movielens_dat),
    "amazon": ("amazon", amazon), "amazon-csv": ("amazon-csv", amazon_csv), "yelp": ("yelp", yelp),
    "goodreads": ("goodreads", goodreads), "hm": ("hm", hm), "recbole": ("recbole", recbole),
    "retailrocket": ("retailrocket", retailrocket), "sequences": ("sequences", sequences),
    "mind": ("mind", mind), "shopify": ("shopify", shopify), "woocommerce": ("woocommerce", woocommerce),
}  # fmt: skip
"""Name -> source, and what writes its files."""


def peak_of(command: list[str]) -> tuple[int, float]:
    """MiB that a command took at most, and its processor seconds."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: {said[-500:]}")
    return round(usage.ru_maxrss / 1024), round(usage.ru_utime + usage.ru_stime, 1)


def measure(name: str, sizes: list[int], divisor: int) -> dict[str, Any]:
    """Peak MiB at every size."""
    source, write = LAYOUTS[name]
    runs = []
    for events in sizes:
        with tempfile.TemporaryDirectory() as place:
            shop, out = Path(place) / "shop", Path(place) / "out"
            shop.mkdir()
            write(shop, events)
            command = [sys.executable, "-c", IMPORT, str(divisor), "data", "import", source, str(shop)]
            mib, seconds = peak_of([*command, "--out", str(out), "--k-core", "0"])
            run: dict[str, Any] = {"events": events, "import_mib": mib, "import_seconds": seconds}
            if name in ("csv", "amazon"):
                run["open_mib"] = peak_of([sys.executable, "-c", OPEN, str(out)])[0]
                run["check_mib"] = peak_of([sys.executable, "-c", MAIN, "data", "check", str(out)])[0]
            runs.append(run)
            print(name, run, flush=True)
    millions = (sizes[-1] - sizes[0]) / 1e6
    grown = {
        step: round((runs[-1][f"{step}_mib"] - runs[0][f"{step}_mib"]) / millions, 1)
        for step in ("import", "open", "check")
        if f"{step}_mib" in runs[0] and millions
    }
    return {"layout": name, "runs": runs, "mib_per_million": grown}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", default="150000,450000")
    parser.add_argument("--layouts", default="", help="Some of them, parted by semicolons.")
    parser.add_argument("--divide", type=int, default=64)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    sizes = [int(size) for size in given.events.split(",")]
    names = [name for name in given.layouts.split(";") if name] or list(LAYOUTS)
    results = [measure(name, sizes, given.divide) for name in names]
    if given.out is not None:
        machine = {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        }
        document = {
            "machine": machine,
            "users": USERS,
            "items": ITEMS,
            "blocks_and_runs_divided_by": given.divide,
            "layouts": results,
        }
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
