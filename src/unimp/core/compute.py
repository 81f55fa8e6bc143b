"""Where and with how much a process computes: device, threads, peak memory."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path
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


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; without them bfloat16 is slower than float32."""
    import torch

    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(known.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def available_memory() -> int | None:
    """Bytes of main memory that are free for this process, a container's limit included; None: unknown."""
    found: list[int] = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        cached = [
            line for line in (group / "memory.stat").read_text().splitlines() if "inactive_file" in line
        ]
        if limit.isdigit():
            found.append(int(limit) - int(used) + int(cached[-1].split()[1]))
    except (OSError, ValueError, IndexError):
        pass  # another system, or no container
    return min(found, default=None)


def device_name(device: torch.device) -> str:
    """The accelerator's name, or the kind of the processor."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
