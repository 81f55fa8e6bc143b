"""Tensor files: what is written is what is read, empty tensors included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unimp.core.errors import CheckpointError
from unimp.core.files import read_tensors, write_tensors


def test_a_graph_without_an_edge_is_written_and_read(tmp_path: Path) -> None:
    tensors = {"data": torch.from_numpy(np.zeros(0, dtype=np.float32)), "offsets": torch.zeros(4)}
    write_tensors(tmp_path / "items.safetensors", tensors, {"graphs": ["content"]})
    read, facts = read_tensors(tmp_path / "items.safetensors")
    assert facts == {"graphs": ["content"]}
    assert read["data"].shape == (0,)
    assert torch.equal(read["offsets"], tensors["offsets"])


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_tensors(path, {"a": torch.ones(8)}, {})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="content does not match its hash"):
        read_tensors(path)


def test_a_file_may_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    """A service runs as another user than the training."""
    plain, path = tmp_path / "plain", tmp_path / "model.safetensors"
    plain.touch()
    write_tensors(path, {"a": torch.ones(8)}, {})
    assert path.stat().st_mode == plain.stat().st_mode
