"""What `run.sh --tiny` works on: a small embedded shop, a language model of random weights, their recipe.

tiny.py WORK    # writes WORK/shop, WORK/model and WORK/tiny.toml
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden"))

from golden_recipes import ON_LANGUAGE, SHOP, language_model

from unimp.demo.shop.writing import write_shop


def toml_lines(tables: dict[str, Any]) -> list[str]:
    """Tables of plain values; JSON writes numbers, strings and lists as TOML does."""
    top = {name: value for name, value in tables.items() if not isinstance(value, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return lines


def main() -> None:
    work = Path(sys.argv[1])
    write_shop(work / "shop", SHOP, seed=0)
    model = language_model(work / "model")
    backbone = {"name": str(model), "train": "lora", "precision": "float32"}
    (work / "tiny.toml").write_text("\n".join(toml_lines(ON_LANGUAGE | {"backbone": backbone})) + "\n")


if __name__ == "__main__":
    main()
