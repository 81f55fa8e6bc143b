"""Sequence files keep the contract that sources of other packages are held to."""

from __future__ import annotations

from pathlib import Path

from unimp.testing import SourceContract


class TestSequences(SourceContract):
    source = "sequences"
    users, items, events = 3, 4, 7

    def write(self, folder: Path) -> Path:
        path = folder / "sequences.txt"
        path.write_text("ann P1 P2 P3\nbob P2 P4\ncid P1 P3\n")
        return path

    def spoil(self, path: Path) -> None:
        path.write_text(path.read_text() + "dan\n")
