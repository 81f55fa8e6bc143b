"""Where and with how much a process computes: device, threads, peak memory."""

from __future__ import annotations

import os
import platform
import resource
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def set_threads(threads: int, neighbours: int = 1) -> None:
    """`threads` for this process; 0: this process's share of all, with `neighbours` processes at work."""
    import torch  # whoever measures memory only need not wait for it

    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) // neighbours))


def peak_memory_mib() -> float:
    """Largest resident size of this process since it began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def device_name(device: torch.device) -> str:
    """The accelerator's name, or the kind of the processor."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
