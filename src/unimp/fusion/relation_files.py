"""`Relations` as tensors, so that a run answers without counting the log again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unimp.core.files import csr_matrix_of, csr_tensors, read_tensors, write_tensors
from unimp.fusion.graphs import Relation
from unimp.fusion.groups import ItemGroups
from unimp.fusion.period_popularity import PeriodPopularity
from unimp.fusion.relations import Grouped, Personal, Relations

MATRICES = ("log_graphs", "likenesses")
ARRAYS = ("prices", "popularity", "late")
PERIODS = "tides"
"""What the files call popularity by period."""


def save_relations(path: Path, relations: Relations) -> None:
    """Write whole, then replace. CheckpointError when the disk is full."""
    tensors: dict[str, Tensor] = {}
    for kind in MATRICES:
        for place, relation in enumerate(getattr(relations, kind).values()):
            tensors |= matrix_tensors(f"{kind}.{place}", relation.weights)
    arrays: dict[str, Any] = {name: getattr(relations, name) for name in ARRAYS}
    for place, grouped in enumerate(relations.grouped):
        for part in ("codes", "affinity", "popularity"):
            arrays[f"grouped.{place}.{part}"] = getattr(grouped, part)
        arrays[f"grouped.{place}.groups"] = grouped.groups.codes
    if relations.by_period is not None:
        periods = relations.by_period
        arrays |= {f"{PERIODS}.starts": periods.starts, f"{PERIODS}.popularity": periods.popularity}
    if relations.personal is not None:
        arrays |= {"personal.unseen": relations.personal.unseen, "personal.levels": relations.personal.levels}
    tensors |= {
        name: torch.from_numpy(np.ascontiguousarray(values))
        for name, values in arrays.items()
        if values is not None
    }
    facts = {
        **{kind: list(getattr(relations, kind)) for kind in MATRICES},
        "grouped": [[grouped.groups.name, grouped.groups.size] for grouped in relations.grouped],
        "decay": relations.decay,
        "missing": list(relations.missing),
    }
    write_tensors(path, tensors, facts)


def load_relations(path: Path) -> Relations:
    """What `save_relations` wrote; CheckpointError when it is missing or damaged."""
    tensors, facts = read_tensors(path)
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    size = len(arrays["popularity"])
    graphs, likenesses = (
        {
            name: Relation(saved_matrix(f"{kind}.{place}", tensors, size))
            for place, name in enumerate(facts[kind])
        }
        for kind in MATRICES
    )
    grouped = [
        Grouped(
            ItemGroups(name, arrays[f"grouped.{place}.groups"], count),
            arrays[f"grouped.{place}.codes"],
            arrays.get(f"grouped.{place}.affinity"),
            arrays[f"grouped.{place}.popularity"],
        )
        for place, (name, count) in enumerate(facts["grouped"])
    ]
    starts = arrays.get(f"{PERIODS}.starts")
    by_period = None if starts is None else PeriodPopularity(starts, arrays[f"{PERIODS}.popularity"])
    personal = None
    if "personal.unseen" in arrays:
        personal = Personal(arrays["personal.unseen"], arrays.get("personal.levels"))
    return Relations(
        graphs,
        likenesses,
        grouped,
        arrays.get("prices"),
        arrays["popularity"],
        arrays["late"],
        by_period,
        facts["decay"],
        personal,
        tuple(facts["missing"]),
    )


def matrix_tensors(name: str, weights: Any) -> dict[str, Tensor]:
    """A plain array as one tensor, a CSR matrix as three."""
    if isinstance(weights, np.ndarray):
        return {name: torch.from_numpy(weights)}
    return csr_tensors(name, weights.tocsr().astype(np.float32))


def saved_matrix(name: str, tensors: Mapping[str, Tensor], size: int) -> Any:
    """[size, size] as it was."""
    return tensors[name].numpy() if name in tensors else csr_matrix_of(name, tensors, size)
