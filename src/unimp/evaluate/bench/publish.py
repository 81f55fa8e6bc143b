"""A table as Markdown and as LaTeX, for pages and papers: the metrics, best in bold, with the legend."""

from __future__ import annotations

from collections.abc import Iterator

from unimp.evaluate.bench.present import (
    LEGEND,
    block_lines,
    header,
    headings,
    interval,
    left_out,
    mark,
    side_columns,
    target_notes,
    tuning_line,
)
from unimp.evaluate.bench.table import Table

BESIDE = ("tries", "cpu s", "MiB")
"""What stands behind the metrics."""
LATEX = {
    "\\": r"\textbackslash{}",
    "–": "--",
    "—": "---",
    "%": r"\%",
    "&": r"\&",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
}

BOLD, SIGN = "\0{}\1", "\2{}\3"
"""Around a best figure until everything else is escaped."""


def cells(table: Table, bold: str, marked: str) -> Iterator[list[str]]:
    """Rows of method, metrics and what stands beside them; `bold` and `marked` wrap a best figure.

    A block of several begins with a row that only names it.
    """
    above = headings(table)
    for number, row in enumerate(table.rows):
        if number in above:
            yield [f"— {above[number]}", *("" for _ in names(table)[1:])]
        line = [row.label]
        for metric in table.metrics:
            figure, sign = f"{row.values[metric].mean:.4f}", mark(table, number, metric)
            line.append(bold.format(figure) + marked.format(sign) if sign else figure)
        beside = side_columns(row, table.apart)
        kept = [value for name, value in beside.items() if name in BESIDE or is_apart(table, name)]
        yield [*line, interval(row, table.sorted_by), *kept]


def names(table: Table) -> list[str]:
    """The heads of the columns."""
    beside = [n for n in side_columns(table.rows[0], table.apart) if n in BESIDE or is_apart(table, n)]
    return ["method", *table.metrics, f"{table.sorted_by} 95 %", *beside]


def is_apart(table: Table, name: str) -> bool:
    """Whether a column is of repeated or of new targets alone."""
    return bool(table.apart) and name.startswith(f"{table.apart} ")


def as_markdown(table: Table) -> str:
    """A pipe table between what was judged and the legend."""
    heads = names(table)
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *cells(table, "**{}**", r"\{}")]
    text = [header(table), "", *("| " + " | ".join(line) + " |" for line in lines), ""]
    notes = [*block_lines(table), *target_notes(table), *left_out(table)]
    return "\n".join([*text, LEGEND, "", tuning_line(table), *notes])


def as_latex(table: Table) -> str:
    """A `tabular` in the rules of the package booktabs; what it says in words stands above as comments."""
    heads = names(table)
    rows = [" & ".join(latex(cell) for cell in line) + r" \\" for line in [heads, *cells(table, BOLD, SIGN)]]
    notes = [header(table), LEGEND, tuning_line(table), *block_lines(table)]
    notes += [*target_notes(table), *left_out(table)]
    return "\n".join(
        [
            *(f"% {note}" for note in notes),
            rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def latex(text: str) -> str:
    """Escaped, best figures in bold."""
    escaped = "".join(LATEX.get(letter, letter) for letter in text)
    for wrapped, command in (("\0", r"\textbf{"), ("\1", "}"), ("\2", "$^{"), ("\3", "}$")):
        escaped = escaped.replace(wrapped, command)
    return escaped
