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
    import torch.distributed as dist

    from unimp.train.distributed.sharded import ShardedProcessGroup

    neighbours = int(os.environ["LOCAL_WORLD_SIZE"])
    if device.type == "cuda":
        if neighbours > torch.cuda.device_count():
            raise ConfigError(
                f"--nproc-per-node {neighbours}: this machine has {torch.cuda.device_count()} CUDA devices; "
                "start one process for each"
            )
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    return ShardedProcessGroup(dist.get_rank(), dist.get_world_size(), neighbours, device), device
