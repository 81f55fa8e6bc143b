"""The processes that torchrun started: who they are, and on which device each computes."""

from __future__ import annotations

import os
from datetime import timedelta

import torch

from unimp.errors import ConfigError
from unimp.train.team import Team

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: the leading one may encode all pictures while they wait."""


def started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ and "WORLD_SIZE" in os.environ


def find_team(device: torch.device) -> tuple[Team, torch.device]:
    """The team this process belongs to, and its own device; a team of one without torchrun.

    ConfigError when there are more processes on this machine than CUDA devices.
    """
    if not started_by_torchrun():
        return Team(), device
    import torch.distributed as dist

    from unimp.scale.sharded import ShardedTeam

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
    return ShardedTeam(dist.get_rank(), dist.get_world_size(), neighbours, device), device
