"""Files that a kill leaves old or new, never half; hashes; tensors with their content hash in the header."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from unimp.core.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, in a folder that is made; what is written there replaces `path`.

    The block may write a file, or a folder where `path` is none yet. When it raises, `path` stays as it was
    and the temporary file or folder is removed.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """`write` fills the file; DataError when that fails, and the old file stays."""
    try:
        with atomic_write(path) as part:
            write(part)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and values, in hexadecimal."""
    import torch  # whoever hashes files only need not wait for it

    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        if tensors[name].numel():  # an empty one has no bytes to view (a graph without an edge)
            digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write, flush to disk, then replace. CheckpointError when the disk is full or the folder read-only."""
    from safetensors.torch import save_file

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"facts": json.dumps(facts), "sha256": content_hash(flat)}
    try:
        with atomic_write(path) as temporary:
            temporary.touch()
            mode = temporary.stat().st_mode  # as the umask has it; safetensors lets the owner alone read
            save_file(flat, temporary, metadata=header)
            temporary.chmod(mode)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error}); free some space and resume") from None


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


def csr_tensors(name: str, matrix: Any) -> dict[str, Tensor]:
    """A CSR matrix as three tensors, which `csr_matrix_of` puts together again."""
    import torch

    return {
        f"{name}.data": torch.from_numpy(matrix.data),
        f"{name}.indices": torch.from_numpy(matrix.indices.astype("int32")),
        f"{name}.offsets": torch.from_numpy(matrix.indptr.astype("int64")),
    }


def csr_matrix_of(name: str, tensors: Mapping[str, Tensor], size: int) -> Any:
    """[size, size] what `csr_tensors` took apart."""
    from scipy.sparse import csr_matrix

    parts = [tensors[f"{name}.{part}"].numpy() for part in ("data", "indices", "offsets")]
    return csr_matrix(tuple(parts), shape=(size, size))


def recorded_hash(path: Path) -> str:
    """The hash of the content that the file was written with; CheckpointError when it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("sha256"))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); train again") from None


def write_json(path: Path, document: Any) -> None:
    """Write indented JSON. CheckpointError when the disk is full or the folder read-only."""
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error.strerror}); free some space") from None


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; is this a run folder?") from None
    except ValueError:
        raise CheckpointError(f"{path}: damaged; train again") from None
