"""The rooms import in one direction only; a new arrow that points back fails here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "unimp"

ORDER = (
    "core",
    "data",
    "answer",
    "metrics",
    "model",
    "features",
    "sentence",
    "inference",
    "fusion",
    "tasks",
    "runs",
    "baselines",
    "train",
    "evaluate",
    "personalizer",
    "batch",
)
"""A room may import the rooms before it, and no other."""
NARROWER: dict[str, set[str]] = {
    "model": {"core"},
    "sentence": {"core", "data", "answer"},
    "baselines": {"core", "data", "answer", "metrics", "features"},
    "evaluate/bench": {"core", "data", "answer", "metrics", "features", "fusion", "baselines"},
    "recipes": set(),
    "shop": {"demo"},
    "testing": {*ORDER, "demo"},
    "__init__": {"core", "data", "personalizer"},
}
"""Rooms that may import less than what stands before them, or that stand outside the order."""
OUTERMOST = {"serve", "cli", "demo", "scale"}
"""Nobody but each other imports these; they may import everything."""
ON_THE_WAY: set[tuple[str, str]] = set()
"""Arrows that still point back; this set only shrinks."""


def allowed(room: str) -> set[str]:
    """The rooms that a room may import."""
    if room in NARROWER:
        return NARROWER[room]
    back = {target for source, target in ON_THE_WAY if source == room}
    return set(ORDER[: ORDER.index(room)]) | back


def room_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    if relative.parts[:2] == ("evaluate", "bench"):
        return "evaluate/bench"
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
    if room in OUTERMOST:
        return
    assert room in (*ORDER, *NARROWER), f"{room}: give this room a place in ORDER"
    wrong = imported_rooms(path) - allowed(room) - {room.partition("/")[0], "__version__"}
    assert not wrong, f"{path.relative_to(SOURCE)} imports {sorted(wrong)}, which {room}/ must not know"


def test_engines_are_imported_in_one_place_only() -> None:
    """Ray in `scale/` alone, torch.distributed in `train/distributed/` alone."""
    for path in SOURCE.rglob("*.py"):
        modules, place = imported_modules(path), path.relative_to(SOURCE).as_posix()
        if not place.startswith("scale/"):
            assert not [m for m in modules if m.split(".")[0] == "ray"], f"{place} imports Ray"
        if not place.startswith("train/distributed/"):
            assert not [m for m in modules if m.startswith("torch.distributed")], f"{place} imports it"


def test_class_names_are_unique() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.relative_to(SOURCE).as_posix())
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_import_is_light() -> None:
    heavy = "torch polars pyarrow matplotlib PIL scipy bm25s sacrebleu rouge_score"
    program = f"import unimp, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
