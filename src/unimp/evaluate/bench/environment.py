"""What a figure depends on beside method and data: revision, versions, machine, memory."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

from unimp.core.compute import peak_memory_mib
from unimp.core.config import Config

PACKAGES = ("unimp", "torch", "numpy", "scipy", "polars", "pyarrow", "optuna", "lightgbm")


class Environment(Config):
    """Where and with what a result was made."""

    revision: str | None
    """Git commit of the source, `+changes` when the source differed from it; None outside a repository."""
    versions: dict[str, str]
    """Python and the packages that compute."""
    device: str
    """Processor or accelerator, in words."""

    @classmethod
    def here(cls, device: str = "cpu") -> Environment:
        """This process; `device` is where the method computed."""
        versions = {"python": platform.python_version()}
        for package in PACKAGES:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue  # run from a source tree that was never installed
        return cls(revision=git_revision(Path(__file__).parent), versions=versions, device=describe(device))


def git_revision(folder: Path) -> str | None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        # Only tracked source counts: notes and results beside it change nothing.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(folder.parent))
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def describe(device: str) -> str:
    """`cpu: MODEL, N cores, OMP_NUM_THREADS=n`, or the accelerator's name."""
    if device.startswith("cuda"):
        torch = sys.modules["torch"]  # a method that computed there has imported it
        return f"{device}: {torch.cuda.get_device_name(device)}"
    model = platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpu_info.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    return f"cpu: {model}, {os.cpu_count()} cores, OMP_NUM_THREADS={threads}"


class PeakMemory:
    """The most memory this process held since `PeakMemory()`, in MiB, what it held before included.

    Linux can start the count anew; elsewhere it is the peak since the process began.
    """

    def __init__(self) -> None:
        gc.collect()
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return

    def mebibytes(self) -> float:
        status = Path("/proc/self/status")
        if status.exists():
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
        return peak_memory_mib()
