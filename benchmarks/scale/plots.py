"""The curves of docs/scale.md, drawn from the result files alone.

    python benchmarks/scale/plots.py --results results --out results/scale/plots

One SVG each: what import, preparation, a step, evaluation, the index, one answer and batch answers cost by
the size that decides it. Axes are logarithmic. A file that is not there leaves its plot out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from unimp.evaluate.bench.plots import colour, draw

SIZE = (5.2, 3.2)
GREY = "#7a828a"
"""Ink that can be read on a light and on a dark page."""
ANSWERS = ("answers-100k", "answers-1m", "answers-10m")


@dataclass(frozen=True)
class Line:
    """One line of a plot."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    x: str
    y: str
    lines: Sequence[Line]

    def svg(self) -> str:
        def paint(axes: Axes) -> None:
            for row, line in enumerate(self.lines):
                xs, ys = zip(*sorted(line.points), strict=True)
                axes.plot(xs, ys, marker="o", markersize=4, color=colour(row), label=line.name)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(self.x)
            axes.set_ylabel(self.y)
            axes.legend()

        return draw(SIZE, paint).replace("currentColor", GREY)


def read(folder: Path, name: str) -> Any:
    """A result file; None where it is not there."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def import_plots(results: Path) -> dict[str, Plot]:
    found = read(results, "import/csv")
    if found is None:
        return {}
    runs = [run for run in found["runs"] if not run["heaviest_account_added"]]

    def points(key: str) -> list[tuple[float, float]]:
        return [(run["events"], run[key]) for run in runs]

    return {
        "import": Plot("events", "processor seconds", [Line("import of a CSV", points("processor_seconds"))]),
        "import-memory": Plot("events", "MiB at the peak", [Line("import of a CSV", points("peak_mib"))]),
    }


def step_plots(results: Path) -> dict[str, Plot]:
    found = read(results, "scale/step")
    if found is None:
        return {}
    lines = [
        Line(kind, [(row["items"], row[kind]) for row in found["seconds a step"] if kind in row])
        for kind in ("full", "sampled")
    ]
    return {"step": Plot("items", "seconds a step", lines)}


def answer_plots(results: Path) -> dict[str, Plot]:
    rows = [row for name in ANSWERS if (row := read(results, f"scale/{name}")) is not None]
    if not rows:
        return {}
    lines = {"every item scored": "exact", "index, history read anew": "read", "index, warm": "warm"}
    return {
        "index": Plot(
            "items",
            "processor seconds, MiB",
            [
                Line(
                    "build and recall, s", [(r["items"], r["build"]["cpu_seconds_with_recall"]) for r in rows]
                ),
                Line("on disk, MiB", [(r["items"], r["index_mib"]) for r in rows]),
                Line("resident, all together, MiB", [(r["items"], r["resident_mib"]) for r in rows]),
            ],
        ),
        "answer": Plot(
            "items",
            "processor ms, median",
            [Line(name, [(r["items"], r[key]["p50_cpu_ms"]) for r in rows]) for name, key in lines.items()],
        ),
    }


def shop_plots(results: Path) -> dict[str, Plot]:
    found = read(results, "scale/curves")
    if found is None:
        return {}
    shops = found["shops"]

    def by_items(*keys: str, factor: float = 1.0) -> list[tuple[float, float]]:
        points = []
        for shop in shops:
            value: Any = shop
            for key in keys:
                value = value[key]
            points.append((shop["items"], factor * value))
        return points

    lengths = "one answer by history length, ms"
    return {
        "preparation": Plot(
            "items",
            "processor seconds",
            [Line("whole command, 5 steps", by_items("training", "processor seconds of the whole command"))],
        ),
        "memory": Plot(
            "items",
            "MiB at the peak",
            [
                Line("training", by_items("training", "peak_memory_mib")),
                Line("evaluation and batch", by_items("batch", "peak_memory_mib")),
            ],
        ),
        "users": Plot(
            "items",
            "processor ms a user",
            [
                Line("evaluation", by_items("evaluation", "seconds a user", factor=1000)),
                Line("batch answers", by_items("batch", "seconds a line", factor=1000)),
            ],
        ),
        "history": Plot(
            "items in the history",
            "processor ms, median",
            [
                Line(f"{shop['items']:,} items", [(int(n), ms) for n, ms in shop[lengths].items()])
                for shop in shops
            ],
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("results/scale/plots"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for make in (import_plots, step_plots, answer_plots, shop_plots):
        for name, plot in make(options.results).items():
            (options.out / f"{name}.svg").write_text(plot.svg())
            print(options.out / f"{name}.svg")


if __name__ == "__main__":
    main()
