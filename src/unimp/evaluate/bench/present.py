"""A table as text for a terminal and as a document for `--json`."""

from __future__ import annotations

from typing import Any

from unimp.data.targets import TargetCounts
from unimp.evaluate.bench.second_stage import ALONE
from unimp.evaluate.bench.table import Lead, Table, TableRow
from unimp.evaluate.bench.tries import CHOSEN_BY


def header(table: Table) -> str:
    """What was judged, by which rules."""
    data, protocol = table.data, table.protocol
    masked = "history masked" if protocol.exclude_history else "history not masked"
    split = protocol.split + (f" ({protocol.hold_out})" if protocol.hold_out else "")
    parts = [
        f"{data.name} ({data.hash})",
        f"{split}, {'full catalogue' if protocol.candidates == 'all' else 'held-out items'} of"
        f" {data.items:,} items, {masked}",
        f"{data.train_events:,} training events, {data.test_cases:,} test cases",
    ]
    if data.targets_outside_catalogue:
        parts.append(f"{data.targets_outside_catalogue:,} targets outside the catalogue (misses)")
    if data.targets_in_history:
        parts.append(f"{data.targets_in_history:,} targets in the user's own history")
    if data.targets_tied_in_time:
        parts.append(f"{data.targets_tied_in_time:,} targets as old as the event before (file order)")
    return "; ".join(parts)


def target_notes(table: Table) -> list[str]:
    """What is to be known of targets that cannot be hit."""
    data = table.data
    counts = TargetCounts(
        data.test_cases, data.targets_in_history or 0, 0, outside_catalogue=data.targets_outside_catalogue
    )
    return list(counts.words("test", masked=table.protocol.exclude_history))


def tuning_line(table: Table) -> str:
    """The tuning budget of the rows; where they differ, which row had which: that is no even contest."""
    by_budget: dict[str, list[str]] = {}
    for row in table.rows:
        if not row.config:  # a method with nothing to set has had every chance
            continue
        words = row.tuning.budget.words() if row.tuning else "not tuned"
        by_budget.setdefault(words, []).append(row.label)
    if set(by_budget) <= {"not tuned"}:
        return "tuning: none; every row has the settings it came with or was given by hand"
    if len(by_budget) == 1:
        (words,) = by_budget
        return f"tuning: {words} each, chosen by validation {CHOSEN_BY}"
    groups = "; ".join(f"{words}: {', '.join(labels)}" for words, labels in by_budget.items())
    return f"tuning budgets differ, by validation {CHOSEN_BY}: {groups}"


def mark(table: Table, row: int, metric: str) -> str:
    """`*` best and better than any other method by the paired test, `+` best, else nothing."""
    block = table.rows[row].block
    if table.best(metric, block) != row or not table.rows[row].values[metric].mean > 0:
        return ""  # nobody is the best of a column of zeros
    lead = table.leads_of(block).get(metric)
    return "*" if lead is not None and lead.best == row and lead.significant else "+"


def headings(table: Table) -> dict[int, str]:
    """What stands above a row: the name of the block that begins there; none where there is but one."""
    if len(table.blocks) < 2 and table.rows[0].block == ALONE:
        return {}
    blocks = [row.block for row in table.rows]
    return {blocks.index(block): block for block in table.blocks}


def block_lines(table: Table) -> list[str]:
    """What is to be known of the blocks: that they are not compared, and who gave no scores."""
    lines = ["best and tests within a block"] if len(table.blocks) > 1 else []
    for row in table.rows:
        record = row.results[0].result.fusion
        unscored = record.details.get("cases_without_scores", 0) if record else 0
        if unscored:
            told = f"the method gave no scores for {unscored:,} cases, ranked by features alone"
            lines.append(f"{row.label}, {row.block}: {told}")
    return lines


LEGEND = "+ best of its column; * best, and better than the next method (paired sign-flip test, p < 0.05)"


def side_columns(row: TableRow, apart: str = "") -> dict[str, str]:
    """What stands beside the metrics; first the metric `apart` over repeated and over new targets."""
    kinds = row.apart(apart) if apart else {}
    return {f"{apart} {kind}": f"{value:.4f}" for kind, value in kinds.items()} | {
        "seeds": str(len(row.results)),
        "tries": str(len(row.tuning.tries)) if row.tuning else "–",
        "fit s": f"{row.average('seconds_fit'):.1f}",
        "cpu s": amount(row.average("cpu_seconds_fit"), ".1f"),
        "score s": f"{row.average('seconds_score'):.1f}",
        "MiB": f"{row.average('peak_memory_mib'):.0f}",
        "tied": f"{row.average('tied_targets'):.0f}",
        "unscored": f"{row.average('unscored'):.0f}",
    }


def interval(row: TableRow, metric: str) -> str:
    """The 95 % interval of the mean over users."""
    value = row.values[metric]
    return "–" if value.low != value.low else f"{value.low:.4f}–{value.high:.4f}"


def as_text(table: Table) -> str:
    """Aligned columns, the legend, and the files that were left out."""
    lines = [["method", *table.metrics, f"{table.sorted_by} 95 %", *side_columns(table.rows[0], table.apart)]]
    for number, row in enumerate(table.rows):
        figures = [f"{row.values[m].mean:.4f}{mark(table, number, m) or ' '}" for m in table.metrics]
        lines.append(
            [row.label, *figures, interval(row, table.sorted_by), *side_columns(row, table.apart).values()]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [header(table), ""]
    above = headings(table)
    for place, line in enumerate(lines):
        if place - 1 in above:
            text.append(f"— {above[place - 1]}")
        cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        text.append("  ".join([line[0].ljust(widths[0]), *cells]).rstrip())
    notes = [*block_lines(table), *target_notes(table), *left_out(table)]
    return "\n".join([*text, "", LEGEND, tuning_line(table), *notes])


def left_out(table: Table) -> list[str]:
    """The files that could not be read, so that nobody takes a table for whole that is not."""
    return [f"left out: {entry.path.name}: {entry.reason}" for entry in table.rejected]


def as_document(table: Table) -> dict[str, Any]:
    """The table as plain values, for JSON."""
    return {
        "data": table.data.model_dump(mode="json"),
        "protocol": table.protocol.model_dump(mode="json"),
        "sorted_by": table.sorted_by,
        "rows": [row_document(row) for row in table.rows],
        "leads": {metric: lead_document(table, lead) for metric, lead in table.leads.items()},
        "later_leads": {
            block: {metric: lead_document(table, lead) for metric, lead in leads.items()}
            for block, leads in table.later_leads.items()
        },
        "left_out": [{"file": entry.path.name, "reason": entry.reason} for entry in table.rejected],
    }


def lead_document(table: Table, lead: Lead) -> dict[str, Any]:
    return {
        "best": table.rows[lead.best].label,
        "runner_up": table.rows[lead.runner_up].label,
        "difference": lead.comparison.difference.mean,
        "interval": [lead.comparison.difference.low, lead.comparison.difference.high],
        "p_value": lead.comparison.p_value,
        "significant": lead.significant,
    }


def row_document(row: TableRow) -> dict[str, Any]:
    record = row.results[0].result.fusion
    return {
        "method": row.method,
        "label": row.label,
        "block": row.block,
        "fusion": record.model_dump(mode="json") if record else None,
        "config": row.config,
        "tuning": row.tuning.model_dump(mode="json") if row.tuning else None,
        "seeds": [stored.result.seed for stored in row.results],
        "metrics": {name: number(value.mean) for name, value in row.values.items()},
        "apart": {
            metric: {kind: number(value) for kind, value in kinds.items()}
            for metric in row.values
            if (kinds := row.apart(metric))
        },
        "intervals": {name: [number(value.low), number(value.high)] for name, value in row.values.items()},
        "seconds_fit": row.average("seconds_fit"),
        "cpu_seconds_fit": number(row.average("cpu_seconds_fit")),
        "seconds_score": row.average("seconds_score"),
        "peak_memory_mib": row.average("peak_memory_mib"),
        "tied_targets": row.average("tied_targets"),
        "unscored": row.average("unscored"),
        "files": [stored.path.name for stored in row.results],
    }


def amount(value: float, form: str) -> str:
    """Formatted, or a dash where it was not measured."""
    return "–" if value != value else format(value, form)


def number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else value
