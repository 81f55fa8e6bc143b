"""A run folder: the names of its files, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unimp.core.errors import CheckpointError
from unimp.core.files import read_json, write_json
from unimp.data.dataset import Dataset
from unimp.runs.artifact_files import PREPARED
from unimp.runs.lock import LOCK, RunLock
from unimp.runs.recipe import Recipe

FORMAT = 2
RUN, RESULT = "run.json", "result.json"
BEST, LOG = "model.safetensors", "log.jsonl"
REFIT = "refit"
"""Folder of the model, and what it stands on, that learned once more with the validation items."""
STATE = "state.safetensors"
SHARDED_STATE = "state.json"
"""Which folder holds the state of several processes (`unimp.train.distributed`), and its position."""
LEARNED = (RESULT, STATE, SHARDED_STATE, BEST, LOG)
"""Files that hold something learned: without any of them a run has only been begun."""


def claim(folder: Path, dataset: Dataset, recipe: Recipe) -> bool:
    """Mark the folder as this run's; False when the run is already finished."""
    facts = {
        "format": FORMAT,
        "recipe": recipe.model_dump(mode="json"),
        "data": str(dataset.folder.resolve()),
        "data_hash": dataset.data_hash,
    }
    path = folder / RUN
    if path.exists() and not has_learned(folder):
        clear(folder)  # it was ended while it prepared, perhaps with another recipe
    if not path.exists():
        if any(found.name != LOCK for found in folder.iterdir()):
            raise CheckpointError(f"{folder}: exists and is not a run folder; choose another --out")
        write_json(path, facts)
        return True
    old = read_json(path)
    if old.get("data_hash") != dataset.data_hash:
        raise CheckpointError(
            f"{folder}: was trained on other data ({old.get('data')}, hash {old.get('data_hash')}, "
            f"now {dataset.data_hash}); choose another --out"
        )
    known = Recipe.parse(old.get("recipe", {}), str(path)).model_dump(
        mode="json"
    )  # keys added since: defaults
    if known != facts["recipe"]:
        changed = first_difference(known, facts["recipe"])
        raise CheckpointError(f"{folder}: holds a run of another recipe ({changed}); choose another --out")
    return not (folder / RESULT).exists()


def first_difference(old: Any, new: Any, path: str = "") -> str:
    """`train.lr: 0.001, now 0.002` for the first key that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *new]:
            if old.get(key) != new.get(key):
                return first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    return f"{path}: {old!r}, now {new!r}"


@contextmanager
def claimed(folder: Path, dataset: Dataset, recipe: Recipe) -> Iterator[bool]:
    """Hold the folder for this process; False when its run is finished. A refused run leaves no trace."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with RunLock(folder):
        try:
            yield claim(folder, dataset, recipe)
        except BaseException:
            if (folder / RUN).exists() and not has_learned(folder):
                clear(folder)
            raise
        finally:
            (folder / LOCK).unlink(missing_ok=True)
            if made and not any(folder.iterdir()):
                folder.rmdir()


def has_learned(folder: Path) -> bool:
    """Whether there is anything in it to go on from."""
    return any((folder / name).exists() for name in LEARNED)


def clear(folder: Path) -> None:
    """Remove what preparing wrote, and nothing that others put there."""
    ours = (RUN, *PREPARED)
    for path in list(folder.iterdir()):
        if path.name in ours or path.name.startswith(tuple(f".{name}." for name in ours)):
            path.unlink()
