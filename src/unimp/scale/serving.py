"""`unimp serve --engine ray`: replicas of the one HTTP application, behind the proxies of Ray Serve."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from unimp.core.compute import set_threads
from unimp.core.errors import ConfigError
from unimp.personalizer import load
from unimp.scale.cluster import cluster, first_line, other_version, versions
from unimp.serve.app import create_app
from unimp.serve.settings import ServeSettings
from unimp.serve.store.store import Store

APPLICATION = "unimp"


@dataclass(frozen=True)
class ServedRun:
    """What every replica opens: the folders and the store must be reachable from all nodes."""

    run: Path
    data: Path | None
    device: str
    store: str
    settings: ServeSettings
    threads: int
    packages: dict[str, str]

    def application(self) -> FastAPI:
        """The application that `unimp serve` serves without Ray, in this replica."""
        problem = other_version(self.packages)
        if problem is not None:
            raise ConfigError(f"a node of the cluster {problem}")
        set_threads(self.threads or 1)
        personalizer = load(self.run, data=self.data, device=self.device)
        return create_app(personalizer, Store.open(self.store), self.settings)


def served_run(
    run: Path, data: Path | None, device: str, store: str, settings: ServeSettings, threads: int
) -> ServedRun:
    """With the packages of this process, which replicas must have too."""
    data = None if data is None else data.resolve()
    return ServedRun(run.resolve(), data, device, store, settings, threads, versions())


def serve_on_cluster(served: ServedRun, host: str, port: int, replicas: int, address: str | None) -> None:
    """Deploy, or replace what is deployed, replica by replica.

    With an address the replicas stay when the command ends; without one they serve until a signal.
    """
    with cluster(address) as ray:
        check_served(served, {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]})
        deploy(served, host, port, replicas)
        print(f"{replicas} replica(s) serve on http://{host}:{port}/", file=sys.stderr, flush=True)
        if address is None:
            ended = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: ended.set())
            ended.wait()
            import_module("ray.serve").shutdown()


def check_served(served: ServedRun, machines: Collection[str]) -> None:
    """The error that every replica would meet, here and now; a large run's missing index is built."""
    if len(machines) > 1 and served.store.startswith("sqlite"):
        raise ConfigError(
            f"--store {served.store}: replicas on {len(machines)} machines must share one; "
            "use postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        )
    load(served.run, data=served.data, device="cpu")
    Store.open(served.store).close()


def deploy(served: ServedRun, host: str, port: int, replicas: int) -> None:
    """ConfigError with the reason when the replicas do not come up; those that were there go on serving.

    Old replicas work off what they have, at least one of several at a time: no request fails.
    """
    serve = import_module("ray.serve")
    options = {"host": host, "port": port, "request_timeout_s": served.settings.answer_seconds + 30}
    try:
        serve.start(proxy_location="EveryNode", http_options=options)
        serve.run(deployment(serve, served, replicas), name=APPLICATION, route_prefix="/")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the replicas of {served.run} do not come up: {first_line(error)}") from None


def deployment(serve: Any, served: ServedRun, replicas: int) -> Any:
    def application() -> FastAPI:
        return served.application()

    replica = serve.ingress(application)()
    return serve.deployment(
        replica,
        name="answers",
        num_replicas=replicas,
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=served.settings.in_flight,
        graceful_shutdown_timeout_s=served.settings.shutdown_seconds,
        graceful_shutdown_wait_loop_s=1,
        max_constructor_retry_count=2,
    ).bind()
