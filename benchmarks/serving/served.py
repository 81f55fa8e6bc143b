"""A server process of our own and a steady load on it, for measurements and faults."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from unimp.serve.store.store import Store

Facts = dict[str, Any]


@dataclass
class Server:
    """A server process of our own, on one port through all its restarts."""

    run: Path
    store: str
    port: int
    process: subprocess.Popen[bytes]
    options: tuple[str, ...] = ()
    checkout: Path | None = None
    """Another checkout, whose `src` the server runs; None: the one that is imported here."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    def start(
        cls,
        run: Path,
        store: str,
        port: int = 0,
        options: Sequence[str] = (),
        *,
        variant: bool = False,
        checkout: Path | None = None,
        clock: float | None = None,
    ) -> Server:
        """`unimp serve`, or with `variant` the program `serve_variant.py`, which has other options.

        `clock`: seconds by which the server's clock is wrong.
        """
        if not port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        module, environment = "unimp.cli.main", dict(os.environ)
        if checkout is not None:
            environment["PYTHONPATH"] = str(checkout / "src")
            if (checkout / "src" / "unimp" / "app").is_dir():
                module = "unimp.app.cli.main"
        arguments = ["-m", module, "serve", "--threads", "1"]
        if clock is not None:
            skewed = Path(__file__).parents[1] / "faults" / "skewed.py"
            arguments = [str(skewed), str(clock), "serve", "--threads", "1"]
        if variant:
            arguments = [str(Path(__file__).with_name("serve_variant.py"))]
        command = [sys.executable, *arguments, str(run), "--store", store, "--port", str(port), *options]
        # a session of its own, as a service has: Linux divides the cores between sessions first
        process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        server = cls(run, store, port, process, tuple(options), checkout)
        server.wait_until_ready()
        return server

    def wait_until_ready(self, seconds: float = 300) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.process.poll() is None, "the server ended by itself"
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise TimeoutError(f"{self.url}: not ready within {seconds:g} s")

    def restarted(self) -> Server:
        self.process.wait()
        return Server.start(self.run, self.store, self.port, self.options, checkout=self.checkout)

    def cpu_seconds(self) -> float:
        """Processor time spent so far."""
        values = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")

    def loop_seconds(self) -> float:
        """Processor time of its first thread, the event loop's, so far; Linux alone tells it."""
        ran = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/schedstat").read_text().split()[0]
        return int(ran) / 1e9

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def peak_bytes(self, *, reset: bool = False) -> int:
        """Most memory held since the last reset."""
        if reset:
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", status)[0])


@contextmanager
def serving(run: Path, store: str, options: Sequence[str] = ()) -> Iterator[Server]:
    server = Server.start(run, store, options=options)
    try:
        yield server
    finally:
        server.end()


@dataclass
class Load:
    """Events and questions at a steady rate; what was answered, and when."""

    server: Server
    item: str
    events_per_second: float
    questions_per_second: float = 0.0
    user: str = "load"
    acknowledged: set[str] = field(default_factory=set)
    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Answers that are neither a success nor a clean 503."""
    slowest: float = 0.0
    last_refusal: float = 0.0
    first_after: float | None = None
    """When an event was first acknowledged after a refusal."""
    stopped: bool = False

    async def go(self) -> None:
        """Until `stopped`."""
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=self.server.url, timeout=30, limits=limits) as client:
            await asyncio.gather(
                self._steady(self.events_per_second, lambda: self._event(client)),
                self._steady(self.questions_per_second, lambda: self._question(client)),
            )

    async def _steady(self, rate: float, send: Callable[[], Any]) -> None:
        going: set[asyncio.Task[None]] = set()
        begun, count = time.monotonic(), 0
        while rate and not self.stopped:
            going.add(task := asyncio.create_task(send()))
            task.add_done_callback(going.discard)
            count += 1
            await asyncio.sleep(max(0.0, begun + count / rate - time.monotonic()))
        await asyncio.gather(*going)

    async def _event(self, client: httpx.AsyncClient) -> None:
        event = {"event_id": uuid.uuid4().hex, "user": self.user, "item": self.item}
        self.sent += 1
        if await self._answered(client, "/v1/events", event):
            self.acknowledged.add(event["event_id"])
            if self.first_after is None and self.last_refusal:
                self.first_after = time.monotonic()

    async def _question(self, client: httpx.AsyncClient) -> None:
        await self._answered(client, "/v1/recommend", {"user": self.user, "k": 3})

    async def _answered(self, client: httpx.AsyncClient, path: str, document: Facts) -> bool:
        started = time.monotonic()
        try:
            response = await client.post(path, json=document)
        except httpx.TransportError:
            self.statuses[f"{path} no answer"] += 1
            return False
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.statuses[f"{path} {response.status_code}"] += 1
        if response.status_code == 503:
            self.last_refusal, self.first_after = time.monotonic(), None
            clean = response.json()["detail"].startswith("store: ") and "retry-after" in response.headers
            self.wrong += [] if clean else [response.text]
        elif response.status_code != 200:
            self.wrong.append(f"{response.status_code} {response.text}")
        return response.status_code == 200

    def there(self) -> set[str]:
        """Ids that the server knows of."""
        store = Store.open(self.server.store)
        try:
            return {event.event_id for event in store.user_log(self.user).events}
        finally:
            store.close()

    def facts(self) -> Facts:
        there = self.there()
        return {
            "sent": self.sent,
            "acknowledged": len(self.acknowledged),
            "stored": len(there),
            "lost": len(self.acknowledged - there),
            "answers": dict(sorted(self.statuses.items())),
            "not_clean": self.wrong[:5],
            "slowest_answer_s": round(self.slowest, 2),
        }
