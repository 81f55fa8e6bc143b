"""The processes that torchrun started: who they are, and on which device each computes."""

from __future__ import annotations

import os
from datetime import timedelta

import torch

from unimp.core.errors import ConfigError
from unimp.train.process_group import ProcessGroup

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: the leading one may encode all pictures while they wait."""


def started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ and "WORLD_SIZE" in os.environ


def find_process_group(device: torch.device) -> tuple[ProcessGroup, torch.device]:
    """The team this process belongs to, and its own device; a team of one without torchrun.

    ConfigError when there are more processes on this machine than CUDA devices.
    """
    if not started_by_torchrun():
        return ProcessGroup(), device
    neighbours = int(os.environ["LOCAL_WORLD_SIZE"])
    if device.type == "cuda" and neighbours > torch.cuda.device_count():
        raise ConfigError(
            f"--nproc-per-node {neighbours}: this machine has {torch.cuda.device_count()} CUDA devices; "
            "start one process for each"
        )
    import torch.distributed as dist

    dist.init_process_group(torch_backend(on_gpu=device.type == "cuda"), timeout=PATIENCE)
    return joined_process_group(device, int(os.environ["LOCAL_RANK"]), neighbours)


def torch_backend(*, on_gpu: bool) -> str:
    """What the processes speak with; control messages stay on the CPU."""
    return "cpu:gloo,cuda:nccl" if on_gpu else "gloo"


def joined_process_group(
    device: torch.device, local_rank: int, neighbours: int
) -> tuple[ProcessGroup, torch.device]:
    """The team of torch's process group, which this process has joined, and this process's own device.

    `neighbours`: its processes on this machine; `local_rank`: the place of this one among them.
    """
    import torch.distributed as dist

    from unimp.train.distributed.sharded import ShardedProcessGroup

    if device.type == "cuda":
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    return ShardedProcessGroup(dist.get_rank(), dist.get_world_size(), neighbours, device), device
