"""The report's plots, as SVG text that takes its ink from the page, light or dark."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unimp.data.histories import IntArray
from unimp.evaluate.bench.table import Table, TableRow, case_values

LINES = 8
"""Methods drawn as lines, from the best down: more than that nobody can tell apart."""
INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
COLOURS = ("#3b82c4", "#d97b29", "#3f9e5a", "#c94f57", "#8a6bbf", "#8c6d5a", "#c76ea6", "#6f7780", "#a8a832")
MARKERS = "os^Dv"
"""The next one for every round through the colours, so that each of many methods can be told apart."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unimp",  # ids by content, so the same table gives the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
}


def draw(size: tuple[float, float], paint: Callable[[Axes], None]) -> str:
    """The SVG of one figure painted by `paint(axes)`."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def colour(row: int) -> str:
    return COLOURS[row % len(COLOURS)]


def marker(row: int) -> str:
    return MARKERS[row // len(COLOURS) % len(MARKERS)]


def quality_plot(table: Table, metric: str) -> str:
    """Every method's mean with its 95 % interval, best on top."""

    def paint(axes: Axes) -> None:
        for place, row in enumerate(table.rows):
            value = row.values[metric]
            reach = [[value.mean - value.low], [value.high - value.mean]]
            shape, ink = marker(place), colour(place)
            axes.errorbar([value.mean], [place], xerr=reach, fmt=shape, color=ink, capsize=3)
        axes.set_yticks(range(len(table.rows)), [row.label for row in table.rows])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{metric}, 95 % bootstrap interval over users")

    return draw((7.2, 0.9 + 0.36 * len(table.rows)), paint)


def cost_plot(table: Table, metric: str) -> str:
    """Quality against the processor's seconds of fitting; those of the clock where only they were kept."""

    def paint(axes: Axes) -> None:
        for place, row in enumerate(table.rows):
            spent = row.average("cpu_seconds_fit")
            seconds = max(row.average("seconds_fit") if np.isnan(spent) else spent, 1e-3)
            quality = row.values[metric].mean
            axes.plot([seconds], [quality], marker(place), color=colour(place), label=row.label)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("processor seconds to fit (mean over seeds)")
        axes.set_ylabel(metric)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return draw((8.4, max(3.4, 0.6 + 0.22 * len(table.rows))), paint)


def group_plot(table: Table, metric: str, column: str, edges: Sequence[int], label: str) -> str:
    """Quality within groups of users; `column` of the ranks says to which group a user belongs."""
    owner = table.rows[0].results[0].ranks[column].to_numpy()
    group = np.searchsorted(edges, owner, side="right") - 1
    present = [number for number in range(len(edges)) if (group == number).any()]
    names = [group_name(edges, number) + f"\nn={int((group == number).sum())}" for number in present]

    def paint(axes: Axes) -> None:
        for place, row in enumerate(table.rows[:LINES]):
            means = group_means(row, metric, group, present)
            axes.plot(range(len(present)), means, "o-", color=colour(place), label=row.label, linewidth=1.2)
        axes.set_xticks(range(len(present)), names)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(label)
        axes.set_ylabel(metric)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return draw((7.2, 3.4), paint)


def group_means(row: TableRow, metric: str, group: IntArray, present: Sequence[int]) -> list[float]:
    values = case_values(row.results, metric)
    means = []
    for number in present:
        inside = values[group == number]
        scored = inside[~np.isnan(inside)]
        means.append(float(scored.mean()) if len(scored) else float("nan"))
    return means


def group_name(edges: Sequence[int], number: int) -> str:
    """`3–4`, `7`, or `20+` for the last."""
    low = edges[number]
    if number + 1 == len(edges):
        return f"{low}+"
    high = edges[number + 1] - 1
    return str(low) if low == high else f"{low}–{high}"
