"""The rooms import in one direction only; a new arrow that points back fails here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "unimp"

BASE = {"errors", "config", "progress", "space"}
DATA = BASE | {"data"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "space": set(),
    "config": {"errors", "space"},
    "progress": set(),
    "data": BASE,
    "answer": {"data"},
    "metrics": {"data", "answer", "errors"},
    "structure": DATA,
    "shop": DATA,
    "sentence": DATA | {"answer"},
    "model": BASE | {"encoders"},
    "encoders": BASE,
    "encode": DATA | {"sentence", "answer", "encoders"},
    "tasks": DATA | {"sentence", "answer", "metrics"},
    "decode": DATA | {"sentence", "encode", "model", "tasks", "answer", "metrics", "structure"},
    "references": DATA | {"answer", "metrics", "structure", "encode"},
    "train": DATA
    | {
        "encoders",
        "sentence",
        "encode",
        "model",
        "decode",
        "tasks",
        "answer",
        "metrics",
        "structure",
        "references",
    },
    "baselines": DATA | {"answer", "metrics", "structure"},
    "bench": DATA | {"answer", "metrics", "baselines"},
    "personalizer": DATA
    | {"sentence", "encode", "model", "decode", "tasks", "train", "answer", "metrics", "structure"},
    "stock": DATA
    | {"sentence", "encode", "model", "decode", "tasks", "train", "answer", "structure", "personalizer"},
    "testing": DATA | {"answer", "metrics", "structure", "shop", "baselines"},
    "recipes": set(),
    "__init__": {"errors", "personalizer"},
}
"""Room -> rooms it may import. `app` and `scale` may import all; `app` is imported by nobody."""


def room_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_modules(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
            if node.module == "unimp":
                modules |= {f"unimp.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
    return modules


def imported_rooms(path: Path) -> set[str]:
    return {module.split(".")[1] for module in imported_modules(path) if module.startswith("unimp.")}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_arrow_points_back(path: Path) -> None:
    room = room_of(path)
    if room in {"app", "scale"}:
        return
    assert room in MAY_IMPORT, f"{room}: give this room a line in MAY_IMPORT"
    wrong = imported_rooms(path) - MAY_IMPORT[room] - {room, "__version__"}
    assert not wrong, f"{path.relative_to(SOURCE)} imports {sorted(wrong)}, which {room}/ must not know"


def test_only_scale_imports_the_distributed_engine() -> None:
    for path in SOURCE.rglob("*.py"):
        if room_of(path) != "scale":
            modules = imported_modules(path)
            engines = [m for m in modules if m.split(".")[0] == "ray" or m.startswith("torch.distributed")]
            assert not engines, f"{path} imports {engines}"


def test_import_is_light() -> None:
    heavy = "torch polars pyarrow matplotlib PIL scipy bm25s sacrebleu rouge_score"
    program = f"import unimp, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
