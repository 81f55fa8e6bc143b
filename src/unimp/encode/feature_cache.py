"""Frozen features on disk: paid for once per picture set and encoder, memory-mapped, fp16."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureCache:
    """A folder of `.npy` files, named by encoder identity and picture content."""

    folder: Path

    @classmethod
    def at_default_place(cls) -> FeatureCache:
        """`$UNIMP_CACHE`, else `~/.cache/unimp`."""
        return cls(Path(os.environ.get("UNIMP_CACHE", Path.home() / ".cache" / "unimp")) / "features")

    def get_or_make(self, identity: str, pictures: str, make: Callable[[], Tensor]) -> Tensor:
        """Features for (encoder identity, hash of all pictures); a miss is made and written atomically.

        A cache that cannot be written costs the time again, never the run.
        """
        key = hashlib.sha256(f"{identity}\n{pictures}".encode()).hexdigest()[:24]
        path = self.folder / f"{key}.npy"
        found = self._open(path)
        if found is not None:
            return found
        features = make()
        temporary = path.with_name(f".{key}.{uuid.uuid4().hex[:8]}.npy")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            np.save(temporary, features.numpy())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            return features
        written = self._open(path)
        return features if written is None else written

    def _open(self, path: Path) -> Tensor | None:
        try:
            # Copy-on-write: torch wants a writable array, the file never changes.
            return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
        except (OSError, ValueError):
            return None
