"""Every dependency has bounds, and constraints.txt an exact version within them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
NEEDED = [Requirement(line) for group in GROUPS for line in group]
DECLARED = {canonicalize_name(needed.name): needed for needed in NEEDED if needed.name != "unimp"}


@pytest.fixture(scope="module")
def exact() -> dict[str, str]:
    """Version by name; a line is `name==version` or a comment."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    assert all(len(pair) == 2 and pair[1][0].isdigit() for pair in pairs), "a line is not `name==version`"
    assert len({canonicalize_name(name) for name, _ in pairs}) == len(pairs), "a name stands there twice"
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_dependency_has_both_bounds_and_an_exact_version_within(name: str, exact: dict[str, str]) -> None:
    bounds = DECLARED[name].specifier
    operators = {bound.operator for bound in bounds}
    assert {">=", "<"} <= operators, f"{DECLARED[name]}: give a lower bound and one on the major"
    assert name in exact, f"{name} is not in constraints.txt"
    assert bounds.contains(exact[name]), f"constraints.txt has {name} {exact[name]}, pyproject.toml {bounds}"


def test_no_version_is_of_one_machine(exact: dict[str, str]) -> None:
    assert not [f"{name}=={version}" for name, version in exact.items() if "+" in version]
