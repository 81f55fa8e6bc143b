"""The Ray cluster that a command works on: joined or started, its versions, and what its workers report."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from unimp.core.errors import ConfigError, MissingExtra

CONNECT_SECONDS = 10.0
"""How long the address of a cluster may take to answer."""
LOST_SECONDS = 60.0
"""How long a command waits for a machine when the last one is gone."""
PACKAGES = ("unimp", "torch", "numpy", "polars")
"""Their versions decide the bits of an answer: they must be those of the command on every worker."""


def import_ray() -> Any:
    """The library; MissingExtra where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtra("--engine ray: needs Ray: pip install 'unimp[scale]'") from None
    return ray


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected to the cluster at HOST:PORT, or to one of this machine that ends with the block.

    ConfigError when nobody answers there, or when its Ray or Python is of another version.
    """
    ray = import_ray()
    if ray.is_initialized():  # the caller's own connection, which stays
        yield ray
        return
    if address is not None:
        check_address(address)
    try:
        ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"--address {address or '(this machine)'}: {reason}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """ConfigError when nobody listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--address {address}: must be HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--address {address}: does not answer ({error}); start the cluster with `ray start --head`"
        ) from None


def versions() -> dict[str, str]:
    """The packages of this process."""
    return {name: metadata.version(name) for name in PACKAGES}


def other_version(expected: dict[str, str]) -> str | None:
    """What differs in this worker's packages from the command's; None: nothing."""
    for name, version in versions().items():
        if version != expected[name]:
            return (
                f"has {name} {version}, the command {expected[name]}; install the same version on every node"
            )
    return None


def node() -> str:
    """How messages call this machine."""
    return os.uname().nodename


def watched(
    ray: Any,
    rows: Iterable[Any],
    *,
    kind: str = "CPU",
    least: int = 1,
    look: Callable[[], None] = lambda: None,
) -> Iterator[Any]:
    """The rows as they come; ConfigError when too few machines that could work are left for LOST_SECONDS.

    Ray waits for ever for a machine that was lost for good. `least`: how many cores (or GPUs, by `kind`) the
    work needs. `look` is called every second without a row, and may raise.
    """
    found: queue.Queue[tuple[bool, Any]] = queue.Queue()

    def read() -> None:
        try:
            for row in rows:
                found.put((True, row))
            found.put((False, None))
        except BaseException as error:  # handed to the reader below
            found.put((False, error))

    threading.Thread(target=read, name="rows of the cluster", daemon=True).start()
    last = time.monotonic()
    while True:
        try:
            more, row = found.get(timeout=1.0)
        except queue.Empty:
            look()
            there = int(ray.cluster_resources().get(kind, 0))
            if there >= least:
                last = time.monotonic()
            if time.monotonic() - last > LOST_SECONDS:
                left = "no machine left to work on" if not there else f"{there} {kind}(s) left of {least}"
                raise ConfigError(
                    f"the cluster has {left}; start a machine and run the same command again: "
                    "what is finished is kept"
                ) from None
            continue
        if not more:
            if row is not None:
                raise ConfigError(f"the cluster gave up: {first_line(row)}") from row
            return
        last = time.monotonic()
        yield row


def first_line(error: BaseException) -> str:
    """The last line of an error that Ray passes on: its own text follows a remote traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
