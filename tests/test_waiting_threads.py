"""`import unimp` lets OpenMP's waiting threads sleep, unless the environment says something else."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

VARIABLE = "OMP_WAIT_POLICY"


def run(code: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter whose environment has no policy but one in `changes`."""
    kept = {name: value for name, value in os.environ.items() if name not in {VARIABLE, "GOMP_SPINCOUNT"}}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**kept, **changes}, capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("changes", "policy"), [({}, "PASSIVE"), ({VARIABLE: "ACTIVE"}, "ACTIVE"), ({VARIABLE: ""}, "")]
)
def test_importing_unimp_sets_it_only_where_it_is_not(changes: dict[str, str], policy: str) -> None:
    assert run(f"import os, unimp; print(os.environ[{VARIABLE!r}])", **changes).stdout == policy + "\n"


def spins(code: str) -> int | None:
    """How often a waiting thread looks before it sleeps, as GNU's OpenMP displays it when it is loaded."""
    found = re.search(r"GOMP_SPINCOUNT ?= ?'(\d+)'", run(code, OMP_DISPLAY_ENV="VERBOSE").stderr)
    return int(found[1]) if found else None


def test_it_is_in_time_for_the_openmp_that_torch_loads() -> None:
    by_default = spins("import torch")
    if by_default is None:
        pytest.skip("torch's OpenMP is not GNU's here")
    assert spins("import unimp, torch") == 0 < by_default
    assert spins("import torch, unimp") == by_default  # too late, as the docstring says
