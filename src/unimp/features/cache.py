"""Frozen features on disk, memory-mapped: paid for once, by picture set or by single content."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unimp.core.files import atomic_write

PART = 512
"""Rows that are encoded between two writes: what a kill can cost."""
KEY = 16
"""Bytes of a content key."""
HalfArray = npt.NDArray[np.float16]


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
        try:
            write_array(path, features.numpy())
        except OSError:
            return features
        written = self._open(path)
        return features if written is None else written

    def _open(self, path: Path) -> Tensor | None:
        found = open_array(path)
        return None if found is None else torch.from_numpy(found)


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """A plain `.npy` file, which `open_array` maps; OSError when it cannot be written."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def open_array(path: Path) -> Any:
    """A memory map, None when there is no whole file."""
    try:
        # Copy-on-write: torch wants a writable array, the file never changes.
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def content_key(content: bytes) -> bytes:
    """What a row is known by, wherever and in whatever order it occurs."""
    return hashlib.sha256(content).digest()[:KEY]


def listed_keys(path: Path) -> list[bytes]:
    """The keys of a file, row by row; none when another run has just removed it."""
    try:
        listed = path.read_bytes()
    except OSError:
        return []
    return [listed[start : start + KEY] for start in range(0, len(listed), KEY)]


@dataclass(frozen=True)
class FeatureStore:
    """One encoder's features by content: a row that any file of the folder holds is never made again."""

    folder: Path

    @classmethod
    def of(cls, identity: str) -> FeatureStore:
        """That of an encoder, at the cache's place."""
        return cls(FeatureCache.at_default_place().folder / identity)

    def get_or_make(self, keys: Sequence[bytes | None], make: Callable[[list[int]], HalfArray]) -> HalfArray:
        """[len(keys), …] fp16, a memory map where it could be written; rows without a key are zeros.

        `make` gives the features of some rows; each content is asked for once, and kept at once.
        """
        name = hashlib.sha256(b"".join(key or bytes(KEY) for key in keys)).hexdigest()[:24]
        found = open_array(self.folder / f"{name}.npy")
        if found is not None:
            return np.asarray(found)
        known = self._known({key for key in keys if key is not None})
        fresh = list(
            {key: row for row, key in enumerate(keys) if key is not None and key not in known}.values()
        )
        for start in range(0, len(fresh), PART):
            rows = fresh[start : start + PART]
            chosen = [keys[row] or b"" for row in rows]
            made = self._write(f"part-{uuid.uuid4().hex[:12]}", chosen, make(rows))
            known |= {key: (made, place) for place, key in enumerate(chosen)}
        whole = self._write(name, [key or bytes(KEY) for key in keys], gathered(keys, known))
        self._drop_parts(set(keys))
        return whole

    def _known(self, wanted: set[bytes]) -> dict[bytes, tuple[HalfArray, int]]:
        """Content -> the array and the place that hold it."""
        known: dict[bytes, tuple[HalfArray, int]] = {}
        for path in sorted(self.folder.glob("*.keys")):
            rows, listed = open_array(path.with_suffix(".npy")), listed_keys(path)
            if rows is None or len(listed) != len(rows):
                continue
            known |= {key: (rows, place) for place, key in enumerate(listed) if key in wanted}
        return known

    def _drop_parts(self, held: set[bytes | None]) -> None:
        """Remove parts, of whichever run, that a whole file holds now; a map of them stays valid."""
        for path in self.folder.glob("part-*.keys"):
            if held.issuperset(listed_keys(path)):
                with suppress(OSError):
                    path.unlink()
                    path.with_suffix(".npy").unlink()

    def _write(self, name: str, keys: Sequence[bytes], rows: HalfArray) -> HalfArray:
        """The rows as a memory map; as they were given where the cache cannot be written."""
        path = self.folder / f"{name}.npy"
        try:
            write_array(path, rows)
            with atomic_write(path.with_suffix(".keys")) as temporary:
                temporary.write_bytes(b"".join(keys))
        except OSError:
            return rows
        written = open_array(path)
        return rows if written is None else np.asarray(written)


def gathered(keys: Sequence[bytes | None], known: Mapping[bytes, tuple[HalfArray, int]]) -> HalfArray:
    """[len(keys), …] each row from where it is known; zeros without a key."""
    shape = next(iter(known.values()))[0].shape[1:]
    whole = np.zeros((len(keys), *shape), dtype=np.float16)
    for row, key in enumerate(keys):
        if key is not None:
            array, place = known[key]
            whole[row] = array[place]
    return whole
