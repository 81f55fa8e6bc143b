"""How many small faults the tests notice: mutates modules one place at a time and runs their tests.

`python benchmarks/quality/mutations.py --each 12 --out results/mutations.json` draws 12 mutants of each
module in TARGETS with seed 0, runs its tests on each in a forked process, and writes how many were killed
and which survived. `--module metrics/ranking` takes one module, `--each 0` all its mutants. A mutant that
runs longer than `--seconds` counts as killed. Other modules of an earlier result file are kept as they are.

Mutants: comparisons, arithmetic and boolean operators turned into their neighbours, numbers changed by one
or doubled, True and False exchanged, conditions negated, assigned values and returned values replaced by
None, calls for their effect left out. Messages, annotations, docstrings, field descriptions are not touched.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TARGETS: dict[str, tuple[str, ...]] = {
    "model/cross_attention": ("tests/model/test_unimp.py", "tests/model/test_decoder.py"),
    "model/decoder": ("tests/model/test_decoder.py", "tests/model/test_unimp.py"),
    "core/cross_entropy": ("tests/core/test_cross_entropy.py",),
    "sentence/targets": ("tests/sentence",),
    "train/objective": ("tests/train/test_objective.py",),
    "tasks/decoding": ("tests/tasks/test_decoder_parts.py", "tests/inference"),
    "inference/score_sources": ("tests/inference/test_sources.py", "tests/train/test_mixtures.py"),
    "metrics/ranking": ("tests/metrics/test_ranking_metrics.py",),
    "evaluate/bench/significance": ("tests/evaluate/bench/test_significance.py",),
    "data/splits": ("tests/data/test_splits.py",),
    "baselines/mmssl": ("tests/baselines/test_mmssl.py",),
    "serve/security": ("tests/serve/test_security.py",),
    "serve/limits": ("tests/serve/test_security.py", "tests/serve/test_limits.py"),
}
"""Module below src/unimp: the tests that are to notice."""
EQUIVALENT: dict[str, str] = {
    "evaluate/bench/significance: np.abs(sums) >= seen -> np.abs(sums) > seen": (
        "`seen` lies a billionth below the sum that was seen, where no other sum lies"
    ),
    "model/cross_attention: most > 1 -> most >= 1": "a mask that lets everything through changes nothing",
}
"""`module: before -> after` of survivors that change nothing a user could see, and why."""

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub,
    ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


class Places(ast.NodeVisitor):
    """Collects, in order, the nodes that can be changed, each with the ways to change it."""

    def __init__(self) -> None:
        self.found: list[tuple[ast.AST, str]] = []
        self.inside = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.inside += 1
        for part in node.body:
            self.visit(part)
        self.inside -= 1

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)  # type: ignore[arg-type]  # the same fields

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            self.visit(part)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Its words are not what a test should hold."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and self.inside:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if self.inside and isinstance(node.targets[0], ast.Name) and not is_none(node.value):
            self.found.append((node, "none"))
        self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not is_none(node.value):
            self.found.append((node, "none"))
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and self.inside:
            self.found.append((node, "leave out"))
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if self.inside:
            self.found.append((node, "negate"))
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.found.append((node, "negate"))
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if type(node.ops[0]) in SWAPS:
            self.found.append((node, "swap"))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in SWAPS and self.inside:
            self.found.append((node, "swap"))
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if type(node.op) in SWAPS:
            self.found.append((node, "swap"))
        self.visit(node.value)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.found.append((node, "swap"))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if self.inside and isinstance(node.value, bool | int | float):
            self.found.append((node, "other"))


def is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def change(node: ast.AST, how: str) -> None:
    """Change the node in place."""
    if how in ("none", "leave out"):
        node.value = ast.Constant(None)  # type: ignore[attr-defined]
    elif how == "negate":
        node.test = ast.UnaryOp(ast.Not(), node.test)  # type: ignore[attr-defined]
    elif how == "other":
        value = node.value  # type: ignore[attr-defined]
        changed: Any = not value if isinstance(value, bool) else value + 1
        node.value = 2 * value if isinstance(value, float) and value else changed  # type: ignore[attr-defined]
    elif isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()  # type: ignore[assignment]
    else:
        node.op = SWAPS[type(node.op)]()  # type: ignore[attr-defined]


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """(line, `before -> after`, the module's source) of every mutant."""
    tree = ast.parse(source)
    places = Places()
    places.visit(tree)
    for number in range(len(places.found)):
        mutated = copy.deepcopy(tree)
        again = Places()
        again.visit(mutated)
        node, how = again.found[number]
        before = ast.unparse(node).splitlines()[0]
        change(node, how)
        ast.fix_missing_locations(mutated)
        after = ast.unparse(node).splitlines()[0]
        yield getattr(node, "lineno", 0), f"{before} -> {after}", ast.unparse(mutated)


class OneModule:
    """A finder that gives one module a source of its own."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, f"<mutant of {self.name}>", "exec"), module.__dict__)


def survives(name: str, source: str | None, tests: tuple[str, ...], seconds: int) -> bool:
    """Whether the tests pass with the module so changed (None: as it is), in a process of their own."""
    child = os.fork()
    if child == 0:
        os.setsid()
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        if source is not None:
            sys.meta_path.insert(0, OneModule(name, source))  # type: ignore[arg-type]
        import pytest

        code = 1
        with contextlib.suppress(BaseException):
            os.chdir(ROOT)
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]))
        os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def run_module(module: str, each: int, seed: int, seconds: int) -> dict[str, Any]:
    """Mutate one module; ends with a message when its tests fail unmutated."""
    name = "unimp." + module.replace("/", ".")
    source = (ROOT / "src" / "unimp" / f"{module}.py").read_text("utf-8")
    tests = tuple(test for test in TARGETS[module] if (ROOT / test).exists())
    if not survives(name, None, tests, 10 * seconds):
        sys.exit(f"{module}: its tests fail without any mutation")
    every = list(mutants(source))
    drawn = np.random.default_rng(seed).permutation(len(every))[: each or None]
    survivors = []
    for number in sorted(drawn.tolist()):
        line, words, mutated = every[number]
        alive = survives(name, mutated, tests, seconds)
        if alive:
            why = EQUIVALENT.get(f"{module}: {words}", "")
            survivors.append({"line": line, "mutant": words, "explanation": why})
        print(f"{module}:{line}: {'SURVIVED' if alive else 'killed'}: {words}", flush=True)
    killed = len(drawn) - len(survivors)
    return {
        "tests": list(tests), "possible": len(every), "drawn": len(drawn), "killed": killed,
        "survivors": survivors,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--each", type=int, default=12, help="mutants drawn per module; 0: all")
    parser.add_argument("--module", action="append", choices=sorted(TARGETS), help="only these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=120, help="longest run of the tests on one mutant")
    parser.add_argument("--out", type=Path, help="result file")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src"))
    sys.path.insert(0, str(ROOT))
    # What every child needs and nobody mutates is imported once.
    import polars  # noqa: F401
    import pydantic  # noqa: F401
    import scipy.sparse  # noqa: F401
    import torch

    torch.set_num_threads(1)
    earlier: dict[str, Any] = {}
    if options.out and options.out.exists():
        earlier = json.loads(options.out.read_text("utf-8"))["modules"]
    modules = dict(earlier)
    for module in options.module or TARGETS:
        modules[module] = run_module(module, options.each, options.seed, options.seconds)
        drawn, killed = (sum(entry[key] for entry in modules.values()) for key in ("drawn", "killed"))
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()
        report = {
            "command": "python benchmarks/quality/mutations.py", "seed": options.seed, "revision": revision,
            "drawn": drawn, "killed": killed, "share_killed": round(killed / max(drawn, 1), 4),
            "modules": modules,
        }  # fmt: skip
        if options.out:
            options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{killed} of {drawn} killed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
