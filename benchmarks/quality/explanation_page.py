"""docs/explanations.md: the texts of `results/explanations/`, as they came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SETS = {
    "shop": "The embedded shop",
    "instruments": "Amazon Musical Instruments",
    "instruments-smollm2": "Amazon Musical Instruments, SmolLM2-135M",
}
BESIDE = ("item", "history", "rating", "because")
INTRO = """# Explanations, read

Of each set the first twenty test cases whose user wrote a sentence, in the order of the split: what the user
wrote (never seen), what UniMP says, and what its simple references say. *Because* is counted from the user's
history ([tasks.md](tasks.md#explanations)); Musical Instruments has none, since its run does not recommend.
Written by `python benchmarks/quality/tables.py` from `results/explanations/`
(`python benchmarks/quality/explanations.py RUN --out FILE`).
"""


def explanation_page(results: Path) -> str:
    parts = [INTRO]
    for name, title in SETS.items():
        path = results / f"{name}.json"
        if path.exists():
            found = json.loads(path.read_text("utf-8"))
            parts += [f"## {title}", fluency(found), texts(found)]
    return "\n".join(part for part in parts if part)


def fluency(found: dict[str, Any]) -> str:
    """Perplexity of a language model that saw neither, where it was measured."""
    if "perplexity" not in found:
        return ""
    values = ", ".join(f"{name} {value:,.0f}" for name, value in found["perplexity"].items())
    return f"Perplexity a token by `{found['language model']}`, of the first 200 cases: {values}.\n"


def texts(found: dict[str, Any]) -> str:
    methods = [name for name in found["texts"][0] if name not in BESIDE]
    lines = []
    for number, row in enumerate(found["texts"], 1):
        rating = "" if row["rating"] is None else f", rated {row['rating']:g}"
        lines += [f"{number}. {row['item']}{rating}", ""]
        lines += [f"   - {name}: “{row[name]}”" for name in methods]
        lines += [f"   - because: {' '.join(row['because'])}"] if row["because"] else []
        lines.append("")
    return "\n".join(lines)
