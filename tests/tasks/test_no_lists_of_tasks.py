"""No code outside `tasks/` lists tasks by name, compares with a name, or asks for the class of a task."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from unimp.tasks import TASKS

SOURCE = Path(__file__).parents[2] / "src" / "unimp"
NAMES = set(TASKS.table) | {
    word for name in TASKS.table for word in (TASKS[name].command, *TASKS[name].aliases)
}
CLASSES = {TASKS[name].__name__ for name in TASKS.table}
ELSEWHERE = {
    "rating": "a column of the interactions",
    "search": "also a word for other things",
}
"""Names that stand for something else too: one of them alone in a collection or a comparison says nothing."""
PUBLIC_FACE = "personalizer.py"
"""Its typed methods name the six tasks."""
DEFAULTS = "runs/recipe.py"
"""The task that a recipe trains where it names none."""


def constants(node: ast.AST) -> list[str]:
    """The strings that stand directly in a collection or on a side of a comparison."""
    if isinstance(node, ast.Dict):
        inner: list[ast.expr] = [key for key in node.keys if key is not None]
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        inner = node.elts
    elif isinstance(node, ast.Compare):
        inner = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        inner = [node.value]
    else:
        return []
    return [one.value for one in inner if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def listed_tasks(tree: ast.AST) -> list[str]:
    """What is said of tasks by name, line by line."""
    found = []
    for node in ast.walk(tree):
        named = [text for text in constants(node) if text in NAMES]
        if len(named) > 1 or set(named) - set(ELSEWHERE):
            found.append(f"line {getattr(node, 'lineno', '?')}: {', '.join(named)}")
        kinds = ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            kinds = ast.dump(node.args[1])
        if isinstance(node, ast.MatchClass):
            kinds = ast.dump(node.cls)
        if any(f"'{kind}'" in kinds for kind in CLASSES):
            found.append(f"line {getattr(node, 'lineno', '?')}: a match over task classes")
    return found


def files() -> list[Path]:
    exempt = {PUBLIC_FACE, DEFAULTS}
    return [
        path
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] != "tasks" and path.relative_to(SOURCE).as_posix() not in exempt
    ]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_lists_tasks(path: Path) -> None:
    assert listed_tasks(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "code",
    [
        'NAMES = ("selection", "explanation")',
        'heads = {"recommendation": 1}',
        'if task.name == "imagination": pass',
        'if task.name in {"rating", "search"}: pass',
        "isinstance(task, SearchTask)",
        "match task:\n    case RatingTask(): pass",
        'match name:\n    case "explain": pass',
    ],
)
def test_the_check_sees(code: str) -> None:
    assert listed_tasks(ast.parse(code))
