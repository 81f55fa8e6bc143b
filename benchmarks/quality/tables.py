"""Writes what the pages say of the benchmark: docs/tables.md and the README's table, from result files alone.

`python benchmarks/quality/tables.py` writes both; `--check` only says (exit 1)
which is not what the files give.
The words around the figures are in tables.md.jinja.
"""

from __future__ import annotations

import argparse
import re
import sys
from functools import cache
from pathlib import Path

import jinja2

from unimp.core.config import dotted
from unimp.evaluate.bench.present import LEGEND, as_text
from unimp.evaluate.bench.publish import as_markdown
from unimp.evaluate.bench.table import Table, TableRow, build_table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
SIXTEEN = (
    "mf", "macr", "lightgcn", "ultragcn", "hgn", "gru4rec", "sasrec", "s3rec", "bert4rec", "unisrec",
    "p5", "vip5", "vbpr", "causalrec", "mmgcl", "mmssl",
)  # fmt: skip
"""The baselines of UniMP's paper."""
PAPER_COLUMNS = ("HR@3", "NDCG@3", "MRR@3", "HR@5", "NDCG@5", "MRR@5")


@cache
def table(name: str) -> Table:
    return build_table(RESULTS / name)


def row(name: str, method: str) -> TableRow:
    """The method's best row; StopIteration when the table has none."""
    return next(entry for entry in table(name).rows if entry.method == method)


def figure(name: str, method: str, metric: str) -> str:
    """`.0123`, or an en dash where the table lacks the method."""
    try:
        return f"{row(name, method).values[metric].mean:.4f}".removeprefix("0")
    except StopIteration:
        return "–"


def leads(name: str) -> str:
    """`HR@3 +19 %, …`: UniMP over the best of the sixteen, reading the same text, in the paper's columns."""
    return ", ".join(f"{metric} {lead(name, metric)}" for metric in PAPER_COLUMNS)


def lead(name: str, metric: str) -> str:
    ours = next(
        entry.values[metric].mean
        for entry in table(name).rows
        if entry.method == "unimp" and "settings.content.encoder" not in dotted(entry.config)
    )
    best = max(entry.values[metric].mean for entry in table(name).rows if entry.method in SIXTEEN)
    return f"{100 * (ours / best - 1):+.0f} %".replace("-", "−")


def page() -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string((Path(__file__).parent / "tables.md.jinja").read_text("utf-8"))
    return template.render(table=lambda name: as_markdown(table(name)), figure=figure, leads=leads)


def readme() -> str:
    """The README with H&M's table in its first fenced block that begins with `method`."""
    lines = as_text(table("hm")).splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("method"))
    end = next(place for place in range(start, len(lines)) if not lines[place].strip())
    last = f"MRR@{table('hm').protocol.cutoffs[-1]}"
    width = lines[start].index(last) + len(last) + 1
    block = "\n".join([*(line[:width].rstrip() for line in lines[start:end]), "", LEGEND])
    text = (ROOT / "README.md").read_text("utf-8")
    text = re.sub(r"(?s)(?<=```\n)method .*?(?=\n```)", lambda _: block, text, count=1)
    return re.sub(r"cut -c1-\d+", f"cut -c1-{width}", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is stale")
    check = parser.parse_args().check
    stale = []
    for path, text in ((ROOT / "docs" / "tables.md", page()), (ROOT / "README.md", readme())):
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text, "utf-8")
    for path in stale:
        print(f"{path}: {'is not what the result files give' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
