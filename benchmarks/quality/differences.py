"""The paired differences that `lead_rows.py` lists, from the ranks of the result files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from found_rows import row_of
from lead_rows import DIFFERENCES
from leads import paired_values

from unimp.evaluate.bench.result import StoredResult
from unimp.evaluate.bench.significance import PairedComparison, compare_pairs


def difference_rows() -> list[str]:
    """Every listed difference with its 95 % interval over users as Markdown lines.

    One whose result file is missing is left out. Those of the same test cases are resampled together: users
    cost more to draw than values to average.
    """
    chosen: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
    for wanted in DIFFERENCES:
        of, over = row_of(wanted.of), row_of(wanted.over)
        if of is None or over is None:
            continue
        own = [entry for entry in of.results if wanted.seed in (None, entry.result.seed)]
        seeds = named_seeds(own, wanted.seed)
        label = (
            f"{wanted.of[0]}{seeds} ({of.block}) | {wanted.over[0]}{named_seeds(over.results)} ({over.block})"
        )
        values = paired_values(own, over.results, wanted.metric)
        cases = own[0].result.data.cases_hash
        chosen.setdefault(cases, []).append((f"{label} | {wanted.metric}", *values))
    lines = ["| of | over | metric | difference | 95 % | p |", "|---|---|---|---:|---|---:|"]
    for group in chosen.values():
        compared = compare_pairs([(of, over) for _, of, over in group])
        lines += [difference_row(label, found) for (label, _, _), found in zip(group, compared, strict=True)]
    return lines


def named_seeds(results: Sequence[StoredResult], seed: int | None = None) -> str:
    if seed is not None:
        return f", seed {seed}"
    return f", {len(results)} seeds" if len(results) > 1 else ""


def difference_row(label: str, found: PairedComparison) -> str:
    def signed(value: float) -> str:
        return f"{value:+.4f}".replace("0.", ".", 1).replace("-", "−")

    mean, low, high = (
        signed(value) for value in (found.difference.mean, found.difference.low, found.difference.high)
    )
    return f"| {label} | {mean} | {low} to {high} | {found.p_value:.4f} |"
