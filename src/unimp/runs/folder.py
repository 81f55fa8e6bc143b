"""A run folder: the names of its files, and whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unimp.core.errors import CheckpointError
from unimp.core.files import read_json, write_json
from unimp.data.dataset import Dataset
from unimp.runs.open_run import clear, has_learned
from unimp.runs.recipe import Recipe
from unimp.train.lock import LOCK

FORMAT = 2
RUN, RESULT = "run.json", "result.json"
BEST, LOG = "model.safetensors", "log.jsonl"


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
