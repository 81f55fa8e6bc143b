"""A path that a page of the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *ROOT.glob("docs/*.md")]
PATH = re.compile(r"\b(?:src/unimp|tests|benchmarks|examples|results)/[\w./*-]*\w(?:\*\.json)?")
PLACEHOLDER = re.compile(r"NAME|/build/")


def paths_of(page: Path) -> list[str]:
    return [path for path in PATH.findall(page.read_text(encoding="utf-8")) if not PLACEHOLDER.search(path)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_exists(page: Path) -> None:
    missing = [path for path in paths_of(page) if not any(ROOT.glob(path))]
    assert not missing, f"{page.name} names {missing}"


def test_paths_are_found() -> None:
    """The pattern reads the paths: the pages name some."""
    assert sum(len(paths_of(page)) for page in PAGES) > 20
