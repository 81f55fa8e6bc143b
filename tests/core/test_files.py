"""Atomic writes: the new file or the old one, and nothing left beside it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from unimp.core.errors import CheckpointError
from unimp.core.files import atomic_write, file_hash, read_json, write_json


class Cut(Exception):
    """What ends a write in the middle."""


def cut_short(path: Path, inner: str = "") -> None:
    """Write a file, or a file in a folder, and fail before the end."""
    with atomic_write(path) as temporary:
        if inner:
            temporary.mkdir()
        (temporary / inner).write_text("half")
        raise Cut


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.txt"
    for text in ("first", "second"):
        with atomic_write(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(Cut):
        cut_short(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with pytest.raises(Cut):
        cut_short(path, "weights")
    assert list(tmp_path.iterdir()) == []
    with atomic_write(path) as temporary:
        temporary.mkdir()
        (temporary / "weights").write_text("whole")
    assert (path / "weights").read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_is_an_error_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_json_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1]})
    assert read_json(tmp_path / "a.json") == {"x": [1]}
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"a.json: cannot be written \(.+\); free some space"):
        write_json(tmp_path / "file" / "a.json", {})


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_files_and_memory_need_no_torch() -> None:
    program = (
        "import sys, unimp.core.files, unimp.core.compute as compute;"
        "assert compute.peak_memory_mib() > 1; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
