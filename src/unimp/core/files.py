"""Tensors on disk: one safetensors file per state, replaced atomically, its content hashed in its header."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unimp.core.errors import CheckpointError


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        if tensors[name].numel():  # an empty one has no bytes to view (a graph without an edge)
            digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write beside `path`, flush to disk, then replace: a kill leaves the old file or the new one."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"facts": json.dumps(facts), "sha256": content_hash(flat)}
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # as the umask has it; safetensors lets the owner alone read
        save_file(flat, temporary, metadata=header)
        temporary.chmod(mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error}); free some space and resume") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts; CheckpointError when the file is missing, truncated or altered."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:  # safetensors says so of a file that may not be read, too
        if path.exists():
            raise CheckpointError(f"{path}: may not be read; check its permissions") from None
        raise CheckpointError(f"{path}: no such file; is the training finished?") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); delete it and train again") from None
    if header.get("sha256") != content_hash(tensors):
        raise CheckpointError(f"{path}: damaged (content does not match its hash); delete it and train again")
    return tensors, json.loads(header["facts"])


def write_json(path: Path, document: Any) -> None:
    """Atomic, human-readable."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_text(json.dumps(document, indent=2) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error.strerror}); free some space") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; is this a run folder?") from None
    except ValueError:
        raise CheckpointError(f"{path}: damaged; train again") from None
