"""The training state of several processes: each writes its part (DCP), any number of them reads it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, distribute_tensor

from unimp.core.errors import CheckpointError
from unimp.core.files import read_json, read_tensors, write_json
from unimp.model.unimp import UnimpModel
from unimp.runs.folder import SHARDED_STATE, STATE
from unimp.train.process_group import ProcessGroup
from unimp.train.state import MOMENTS, Position, take_moments, training_tensors

PARTS = "state-*"
"""Folders of parts; `state.json` names the one that is whole."""


def write_state(
    process_group: ProcessGroup,
    folder: Path,
    model: UnimpModel,
    optimizer: torch.optim.Optimizer,
    position: Position,
) -> None:
    """Write beside the state before, then let `state.json` name the new one: a kill leaves one of both."""
    name = f"state-{position.epoch}-{position.step}-{position.batch}"
    for buffer in model.buffers():  # running means of each process's items; the leading one's are judged
        dist.broadcast(buffer, src=0)
    tensors = training_tensors(model, optimizer) | random_states(process_group.rank, model)
    process_group.broadcast(lambda: forget_parts(folder, current(folder)))
    try:
        save(tensors, checkpoint_id=folder / name)
    except (CheckpointException, OSError) as error:
        reason = " ".join(str(error).split())[-160:]
        raise CheckpointError(
            f"{folder / name}: cannot be written ({reason}); free some space and resume"
        ) from None
    if process_group.is_main:
        facts = {"folder": name, "processes": process_group.size, "position": asdict(position)}
        write_json(folder / SHARDED_STATE, facts)
        forget_parts(folder, name)
        (folder / STATE).unlink(missing_ok=True)


def read_state(
    process_group: ProcessGroup, folder: Path, model: UnimpModel, optimizer: torch.optim.Optimizer
) -> Position | None:
    """Where the training stopped, with any number of processes, or with none but one; None: it begins."""
    if (folder / SHARDED_STATE).exists():
        facts = read_json(folder / SHARDED_STATE)
        position = Position(**facts["position"])
        read_parts(
            process_group,
            folder / facts["folder"],
            model,
            optimizer,
            same=facts["processes"] == process_group.size,
        )
    elif (folder / STATE).exists():
        tensors, whole = read_tensors(folder / STATE)
        position = Position(**whole)
        share_out(tensors, model, optimizer)
    else:
        return None
    if not process_group.is_main:
        position.forget_counts()
    return position


def read_parts(
    process_group: ProcessGroup,
    parts: Path,
    model: UnimpModel,
    optimizer: torch.optim.Optimizer,
    *,
    same: bool,
) -> None:
    """Fill weights and moments; random states too, where each process has its own of before."""
    try:
        wanted: dict[str, Any] = empty_state(model, saved_tensors(parts))
        if same:
            wanted |= random_states(process_group.rank, model)
        load(wanted, checkpoint_id=parts)
    except (CheckpointException, OSError, EOFError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[-160:]
        raise CheckpointError(f"{parts}: damaged ({reason}); delete the run and train again") from None
    take_moments(model, optimizer, wanted, next(model.parameters()).device)
    if same:
        torch.set_rng_state(wanted[f"random.{process_group.rank}"])
        if f"random.cuda.{process_group.rank}" in wanted:
            torch.cuda.set_rng_state(wanted[f"random.cuda.{process_group.rank}"])


def share_out(tensors: dict[str, Tensor], model: UnimpModel, optimizer: torch.optim.Optimizer) -> None:
    """Give every process its part of a state that one process wrote."""
    wanted = empty_state(model, tensors)
    for name, target in wanted.items():
        whole = tensors[name].reshape(target.shape)
        if isinstance(target, DTensor):
            whole = distribute_tensor(whole.to(target.device), target.device_mesh, target.placements)
        with torch.no_grad():
            target.copy_(whole)
    take_moments(model, optimizer, wanted, next(model.parameters()).device)


def saved_tensors(parts: Path) -> dict[str, Tensor]:
    """Shapes and types of all that was saved, as tensors without memory."""
    found = FileSystemReader(parts).read_metadata().state_dict_metadata
    return {
        name: torch.empty(entry.size, dtype=entry.properties.dtype, device="meta")
        for name, entry in found.items()
        if isinstance(entry, TensorStorageMetadata)
    }


def empty_state(model: UnimpModel, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's own tensors, and room for those of its moments that are known.

    A table whose rows learn one by one has a step for every row.
    """
    wanted = {f"model.{name}": tensor for name, tensor in model.learned_state().items()}
    for name, parameter in model.named_parameters():
        if f"optimizer.step.{name}" in known:
            wanted[f"optimizer.step.{name}"] = torch.zeros_like(known[f"optimizer.step.{name}"], device="cpu")
            saved = (f"optimizer.{key}.{name}" for key in MOMENTS)
            wanted |= {key: torch.zeros_like(parameter.detach()) for key in saved if key in known}
    return wanted


def random_states(rank: int, model: UnimpModel) -> dict[str, Tensor]:
    states = {f"random.{rank}": torch.get_rng_state()}
    if next(model.parameters()).device.type == "cuda":
        states[f"random.cuda.{rank}"] = torch.cuda.get_rng_state()
    return states


def current(folder: Path) -> str:
    """Name of the folder that holds the whole state; empty when there is none."""
    path = folder / SHARDED_STATE
    return str(read_json(path)["folder"]) if path.exists() else ""


def forget_parts(folder: Path, kept: str) -> None:
    """Remove what a killed process left, and what has been replaced."""
    for path in folder.glob(PARTS):
        if path.name != kept:
            shutil.rmtree(path, ignore_errors=True)


def forget_state(folder: Path) -> None:
    """The training is finished."""
    (folder / SHARDED_STATE).unlink(missing_ok=True)
    (folder / STATE).unlink(missing_ok=True)
    forget_parts(folder, "")
