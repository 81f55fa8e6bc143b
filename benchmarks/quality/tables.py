"""Writes docs/tables.md and the tables of benchmark results in README, docs/shop.md and docs/training.md.

All from result files alone. `python benchmarks/quality/tables.py` writes them; `--check` only says (exit 1)
which is not what the files give. Which rows stand where is in table_rows.py, the words around the figures of
docs/tables.md in tables.md.jinja.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
import polars as pl
from ablation import table_lines as ablation_lines
from differences import difference_rows
from explanation_page import explanation_page
from found_rows import RESULTS, ROOT, row_of, table
from table_rows import (
    BEAUTY_ROWS,
    DISTILLED_BEAUTY_ROWS,
    DISTILLED_HM_ROWS,
    HM_ROWS,
    MULTITASK_ROWS,
    Row,
)

from unimp.core.config import dotted
from unimp.evaluate.bench.publish import as_markdown
from unimp.evaluate.bench.table import TableRow

SIXTEEN = (
    "mf", "macr", "lightgcn", "ultragcn", "hgn", "gru4rec", "sasrec", "s3rec", "bert4rec", "unisrec",
    "p5", "vip5", "vbpr", "causalrec", "mmgcl", "mmssl",
)  # fmt: skip
"""The baselines of UniMP's paper."""
PAPER_COLUMNS = ("HR@3", "NDCG@3", "MRR@3", "HR@5", "NDCG@5", "MRR@5")


def row(name: str, method: str) -> TableRow:
    """The method's best row; StopIteration when the table has none."""
    return next(entry for entry in table(name).rows if entry.method == method)


def figure(name: str, method: str, metric: str) -> str:
    """`.0123`, or an en dash where the table lacks the method."""
    try:
        return f"{row(name, method).values[metric].mean:.4f}".removeprefix("0")
    except StopIteration:
        return "–"


def leads(name: str, block: str = "") -> str:
    """`HR@3 +19 %, …`: UniMP over the best of the sixteen, reading the same text, in the paper's columns.

    `block`: how the blocks begin whose rows are compared; ours is the row of the highest NDCG@5 there.
    """
    rows = [entry for entry in table(name).rows if entry.block.startswith(block)]
    own = [
        row for row in rows if row.method == "unimp" and "settings.content.encoder" not in dotted(row.config)
    ]
    ours = max(own, key=lambda row: row.values["NDCG@5"].mean) if block else own[0]
    theirs = [row for row in rows if row.method in SIXTEEN]
    return ", ".join(f"{metric} {lead(ours, theirs, metric)}" for metric in PAPER_COLUMNS)


def lead(ours: TableRow, theirs: Sequence[TableRow], metric: str) -> str:
    best = max(row.values[metric].mean for row in theirs)
    return f"{100 * (ours.values[metric].mean / best - 1):+.0f} %".replace("-", "−")


def page() -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string((Path(__file__).parent / "tables.md.jinja").read_text("utf-8"))
    return template.render(
        table=lambda name: as_markdown(table(name)),
        figure=figure,
        leads=leads,
        differences=lambda: "\n".join(difference_rows()),
        ablation=lambda name: "\n".join(ablation_lines(RESULTS / "ablation" / name)),
    )


def pages() -> dict[Path, str]:
    """Every page that is written, and what it should hold."""
    docs = ROOT / "docs"
    return {
        docs / "tables.md": page(),
        ROOT / "README.md": readme(),
        docs / "shop.md": shop(),
        docs / "training.md": training(),
        docs / "explanations.md": explanation_page(RESULTS / "explanations"),
    }


def readme() -> str:
    """The README with its tables between their markers."""
    tables = {
        "hm": block_rows(HM_ROWS, "NDCG@5"),
        "beauty": block_rows(BEAUTY_ROWS, "NDCG@10"),
        "multitask": multitask_rows(),
        "shop": shop_rows(SHOP_BRIEFLY),
    }
    return filled("README.md", tables)


def training() -> str:
    """docs/training.md with its tables between their markers."""
    tables = {
        "distilled-hm": block_rows(DISTILLED_HM_ROWS, "NDCG@5"),
        "distilled-beauty": block_rows(DISTILLED_BEAUTY_ROWS, "NDCG@10"),
    }
    return filled("docs/training.md", tables)


def shop() -> str:
    """docs/shop.md with its tables between their markers."""
    return filled("docs/shop.md", {"shop": shop_rows(None), "shop-tasks": shop_task_rows()})


def filled(page: str, tables: dict[str, list[str]]) -> str:
    """The page with these tables, by the names of their markers."""
    text = (ROOT / page).read_text("utf-8")
    for name, lines in tables.items():
        body = "\n".join(lines)
        text = re.sub(rf"(?s)(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", lambda _, b=body: b + "\n", text)
    return text


def block_rows(listed: Sequence[Row], metric: str) -> list[str]:
    """A table of next-item results as Markdown lines, the best by `metric` first."""
    columns = ("NDCG@5", "HR@5", "NDCG@10", "HR@10")
    lines = ["| what ranks | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    found = [(entry[0], row) for entry in listed if (row := row_of(entry))]
    for name, row in sorted(found, key=lambda pair: -pair[1].values[metric].mean):
        values = (f"{row.values[column].mean:.4f}".removeprefix("0") for column in columns)
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return lines


LEAD_OF = {"RMSE": "squared error"}
"""What a metric's lead is counted in case by case, where that has another name."""


def multitask_rows() -> list[str]:
    """README's second table as Markdown lines."""
    lines = [
        "| set | task | metric | UniMP | best simple reference | lead, 95 % |",
        "|---|---|---|---:|---|---|",
    ]
    for label, name, task, metric, reference in MULTITASK_ROWS:
        section = json.loads((RESULTS / "multitask" / f"{name}.json").read_text("utf-8"))["tasks"][task]
        other = section["references"][reference]
        lead = other.get("lead") or {"of": ""}
        # A figure of a whole corpus, such as BLEU, has no cases and no interval.
        own = lead["of"] == LEAD_OF.get(metric, metric.partition("-")[0] if task == "imagination" else metric)
        interval = f"{lead['of']} {lead['low']:+.3f} to {lead['high']:+.3f}" if own else "–"
        ours, theirs = (f"{found['metrics'][metric]:.3f}" for found in (section, other))
        lines.append(f"| {label} | {task} | {metric} | {ours} | {reference} {theirs} | {interval} |")
    return lines


SHOP_BRIEFLY = (
    "nearest by picture",
    "nearest by text",
    "fusion without UniMP",
    "UniMP, image-blind",
    "UniMP",
)
TASTES = ("picture", "text", "habit")


def shop_rows(methods: tuple[str, ...] | None) -> list[str]:
    """HR@5 of the demo's methods, None: of all, from every user's rank; each ± half a 95 % interval."""
    ranks = pl.read_parquet(RESULTS / "shop" / "ranks.parquet")
    groups = {"all": ranks, **{name: ranks.filter(pl.col("taste") == name) for name in TASTES}}
    lines = [
        "| what ranks | all | " + " | ".join(f"{name} decides" for name in TASTES) + " |",
        "|---|" + "---:|" * len(groups),
    ]
    for method in methods or tuple(ranks.columns[2:]):
        hits = [np.asarray(group[method].to_numpy() <= 5, dtype=float) for group in groups.values()]
        cells = [
            f"{hit.mean():.3f} ± {1.96 * hit.std() / len(hit) ** 0.5:.3f}".replace("0.", ".") for hit in hits
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def shop_task_rows() -> list[str]:
    """The demo's scoreboard: every task's headline, the blind model's, and the best reference's."""
    document = json.loads((RESULTS / "shop" / "demo.json").read_text("utf-8"))
    lines = ["| task | metric | UniMP | image-blind | best reference |", "|---|---|---:|---:|---|"]
    for task in document["tasks"]:
        others = {name: value for name, value in task["others"].items() if value == value}
        if task["task"] == "recommendation":
            methods = {row["method"]: row["metrics"][task["metric"]] for row in document["rows"]}
            others |= {name: value for name, value in methods.items() if not name.startswith("UniMP")}
        pick = min if task["lower_is_better"] else max
        best = pick(others, key=lambda name, values=others: values[name], default=None)
        blind = "–" if task["blind"] is None else f"{task['blind']:.3f}"
        reference = "–" if best is None else f"{best} {others[best]:.3f}"
        lines.append(f"| {task['task']} | {task['metric']} | {task['unimp']:.3f} | {blind} | {reference} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is stale")
    check = parser.parse_args().check
    stale = []
    for path, text in pages().items():
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text, "utf-8")
    for path in stale:
        print(f"{path}: {'is not what the result files give' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
