"""What training a recipe on a data set will need of memory, said before work begins."""

from __future__ import annotations

import os

import torch

from unimp.core.compute import available_memory
from unimp.core.errors import ConfigError
from unimp.data.dataset import Dataset
from unimp.features.item_graph import EASE_MAX_ITEMS, GRAM_ENTRIES
from unimp.metrics.ranking import users_at_a_time
from unimp.runs.recipe import Recipe
from unimp.runs.training_config import SAMPLED_FROM

PROCESS = 256 * 2**20
"""Of what is not counted below."""
EVENT_BYTES = 260
"""Of an event in the table, the histories, their split and the sentences."""


def memory_needs(
    items: int, events: int, recipe: Recipe, device: torch.device, processes: int = 1
) -> dict[str, int]:
    """Bytes of main memory by the setting that decides them; an estimate on the high side.

    `processes`: on this machine, training one model; one of them prepares.
    """
    structure, objective, width = recipe.structure, recipe.objective, recipe.model.width
    kind = structure.kind
    if kind == "auto":
        kind = "ease" if items <= EASE_MAX_ITEMS else "slim"
    sampled = objective.softmax == "sampled" or (
        objective.softmax == "auto" and items >= SAMPLED_FROM.get(device.type, 0)
    )
    # weights, two moments, the copy that is saved; with all items also gradients and two tables of vectors
    tables = 4 if sampled else 7
    # each further process: weights and moments; with all items weights, gradients and two tables of vectors
    tables += (processes - 1) * (3 if sampled else 4)
    needs = {
        "model.width": 0 if device.type == "cuda" else items * width * 4 * tables,
        "structure.neighbours": 0 if kind == "none" else items * structure.neighbours * 8 * 3,
        "structure.content_neighbours": items * structure.content_neighbours * 8 * 2 * structure.content,
        "content.text": items * recipe.content.text * 4 * 3,
        "UNIMP_SCORE_MIB": 6 * items * 4 * users_at_a_time(items),
        "events": events * EVENT_BYTES * processes,
    }
    if kind == "ease":
        needs["structure.kind"] = items * items * 4 * 2
    elif kind == "slim":
        needs["structure.neighbours"] = max(needs["structure.neighbours"], GRAM_ENTRIES * 8 * 3)
    return needs


def check_memory(dataset: Dataset, recipe: Recipe, device: torch.device, processes: int = 1) -> None:
    """ConfigError, with the estimate and the setting that takes most, where main memory will not do.

    The environment variable UNIMP_CHECK_MEMORY=0 lets it be tried.
    """
    items, events, free = len(dataset.catalog), len(dataset.interactions), available_memory()
    needs = memory_needs(items, events, recipe, device, processes)
    total = sum(needs.values()) + PROCESS * processes
    if free is None or total <= free or os.environ.get("UNIMP_CHECK_MEMORY") == "0":
        return
    largest = max(needs, key=lambda name: needs[name])
    remedy = {
        "structure.kind": "set structure.kind=slim",
        "events": "import a part of the log",
        "UNIMP_SCORE_MIB": "set UNIMP_SCORE_MIB lower",
    }.get(largest, f"set {largest} lower")
    raise ConfigError(
        f"{dataset.folder}: {items:,} items and {events:,} events need about {total / 2**30:.1f} GiB of "
        f"memory, {free / 2**30:.1f} GiB are free; {largest} takes {needs[largest] / 2**30:.1f} GiB of it: "
        f"{remedy} (UNIMP_CHECK_MEMORY=0 tries it all the same)"
    )
