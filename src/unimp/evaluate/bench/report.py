"""The report: one HTML file with the table, its plots and the runs behind it; no external request."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from unimp.core.files import write_whole
from unimp.evaluate.bench.plots import cost_plot, group_plot, quality_plot
from unimp.evaluate.bench.present import (
    LEGEND,
    block_lines,
    header,
    headings,
    mark,
    side_columns,
    target_notes,
    tuning_line,
)
from unimp.evaluate.bench.table import Lead, Table, TableRow
from unimp.evaluate.bench.tries import CHOSEN_BY, Tuning

HISTORY_EDGES = (0, 1, 3, 5, 10, 20, 50, 100)
POPULARITY_EDGES = (0, 1, 5, 10, 20, 50, 100, 500)


def write_report(table: Table, path: Path) -> None:
    """Write `path` whole; DataError when it cannot be written."""
    html = render(table)
    write_whole(path, lambda part: part.write_text(html, encoding="utf-8"))


def render(table: Table) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = (
        resources.files("unimp.evaluate.bench").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    metric = table.sorted_by
    plots = [
        (f"{metric} with its interval", quality_plot(table, metric)),
        ("Quality against training time", cost_plot(table, metric)),
        (
            "By length of the user's history",
            group_plot(table, metric, "history_length", HISTORY_EDGES, "events in the history"),
        ),
        (
            "By popularity of the right answer",
            group_plot(table, metric, "item_events", POPULARITY_EDGES, "training events of the target"),
        ),
    ]
    return environment.from_string(template).render(
        title=f"Benchmark: {table.data.name}",
        summary=header(table),
        legend=LEGEND,
        tuning="; ".join([tuning_line(table), *block_lines(table)]),
        chosen_by=CHOSEN_BY,
        tuned=[tuning_view(row, row.tuning) for row in table.rows if row.tuning],
        metrics=table.metrics,
        side=list(side_columns(table.rows[0], table.apart)),
        rows=[row_view(table, number) for number in range(len(table.rows))],
        leads=[
            lead_view(table, name, lead)
            for block in table.blocks
            for name, lead in table.leads_of(block).items()
        ],
        plots=plots,
        target_notes=target_notes(table),
        left_out=[(entry.path.name, entry.reason) for entry in table.rejected],
        runs=[stored for row in table.rows for stored in row.results],
    )


def row_view(table: Table, number: int) -> dict[str, Any]:
    row = table.rows[number]
    figures = [
        (f"{value.mean:.4f}", f"{value.low:.4f} – {value.high:.4f}", mark(table, number, metric))
        for metric, value in row.values.items()
    ]
    return {
        "label": row.label,
        "block": headings(table).get(number, ""),
        "figures": figures,
        "side": list(side_columns(row, table.apart).values()),
    }


def tuning_view(row: TableRow, tuning: Tuning) -> tuple[str, ...]:
    """Method, budget, tries, minutes, the first try's value, the winner's, and what won."""
    first, winner = tuning.tries[0], tuning.tries[tuning.winner]
    return (
        row.label,
        tuning.budget.words(),
        str(len(tuning.tries)),
        f"{tuning.seconds / 60:.1f}",
        f"{first.value:.4f}" if first.value is not None else "–",
        f"{winner.value:.4f}" if winner.value is not None else "–",
        ", ".join(f"{key}={value}" for key, value in winner.settings.items()),
    )


def lead_view(table: Table, metric: str, lead: Lead) -> tuple[str, str, str, str, str]:
    difference = lead.comparison.difference
    return (
        metric if len(table.blocks) < 2 else f"{metric} ({table.rows[lead.best].block})",
        table.rows[lead.best].label,
        table.rows[lead.runner_up].label,
        f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})",
        f"{lead.comparison.p_value:.4f}",
    )
