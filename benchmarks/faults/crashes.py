"""Break a server on purpose, on loopback, and count what is lost. Each command prints one JSON document.

crashes.py kill RUN  # kill -9 under 50 events a second, twenty times
crashes.py postgresql RUN  # the database stopped, crashed and started again under load
crashes.py disk RUN  # no room left on the store's disk, then room again (as root)
crashes.py hostile RUN  # 100 MB bodies, pictures that unpack to gigabytes
crashes.py schema RUN --schemathesis PROGRAM  # a thousand malformed requests

RUN is any run folder with its data in place (`unimp demo --out demo` makes demo/run). --out also writes the
document to a file; the exit status is 1 when something was lost or answered wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

BENCHMARKS = Path(__file__).parents[1]
sys.path.append(str(BENCHMARKS / "serving"))
sys.path.append(str(BENCHMARKS.parent))
from served import Facts, Load, Server, serving  # noqa: E402
from tests import hostile  # noqa: E402
from tests.postgresql import postgresql_programs, running_postgresql  # noqa: E402


def an_item(server: Server) -> str:
    """One that can be recommended."""
    answer = httpx.post(f"{server.url}/v1/recommend", json={"history": [], "k": 1}).json()
    return str(answer["items"][0]["item_id"])


def kill(run: Path, rounds: int, events_per_second: float) -> Facts:
    """kill -9 while events come in; after every restart each acknowledged event is there."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server.start(run, f"sqlite:///{folder}/store.db")
        item, totals, restarts = an_item(server), Counter[str](), []
        for round_ in range(rounds):
            load = Load(server, item, events_per_second, user=f"round-{round_}")
            asyncio.run(kill_under(load, seconds=1.0 + 0.037 * round_))
            started = time.monotonic()
            server = load.server = server.restarted()
            restarts.append(time.monotonic() - started)
            known = httpx.get(f"{server.url}/v1/users/{load.user}/history", params={"limit": 1000}).json()
            shown = {event["event_id"] for event in known["events"]}
            facts = load.facts()
            totals.update({name: facts[name] for name in ("sent", "acknowledged", "stored", "lost")})
            totals["not_shown_after_restart"] += len(load.acknowledged - shown)
        server.end()
    good = not totals["lost"] and not totals["not_shown_after_restart"] and totals["acknowledged"] > 0
    times = {"longest_restart_s": round(max(restarts), 1), "events_per_second": events_per_second}
    return {"fault": "kill -9", "rounds": rounds, **times, **totals, "good": good}


async def kill_under(load: Load, seconds: float) -> None:
    going = asyncio.create_task(load.go())
    await asyncio.sleep(seconds)
    load.server.process.send_signal(signal.SIGKILL)
    await asyncio.sleep(0.1)
    load.stopped = True
    await going


def postgresql(run: Path) -> Facts:
    """PostgreSQL stopped for six seconds, later crashed for six: 503 meanwhile, and back by itself."""
    programs = postgresql_programs()
    if programs is None:
        raise SystemExit("needs PostgreSQL's initdb and pg_ctl (Debian: apt-get install postgresql)")
    outages: list[Facts] = []
    with running_postgresql(programs) as database, serving(run, database.url) as server:
        load = Load(server, an_item(server), events_per_second=20, questions_per_second=10)

        async def twice() -> None:
            going = asyncio.create_task(load.go())
            for mode in ("fast", "immediate"):
                await asyncio.sleep(4)
                await asyncio.to_thread(database.stop, mode)
                await asyncio.sleep(6)
                ready = httpx.get(f"{server.url}/readyz").status_code
                alive = httpx.get(f"{server.url}/healthz").status_code
                open_answer = httpx.post(f"{server.url}/v1/recommend", json={"history": []}).status_code
                await asyncio.to_thread(database.start)
                started = time.monotonic()
                await asyncio.sleep(4)
                back = None if load.first_after is None else max(0.0, load.first_after - started)
                outages.append(
                    {
                        "stopped": mode,
                        "readyz": ready,
                        "healthz": alive,
                        "answer_without_store": open_answer,
                        "back_after_s": None if back is None else round(back, 2),
                    }
                )
            load.stopped = True
            await going

        asyncio.run(twice())
        facts = load.facts()
    expected = (503, 200, 200)
    kept = all((one["readyz"], one["healthz"], one["answer_without_store"]) == expected for one in outages)
    back = all(one["back_after_s"] is not None for one in outages)
    good = kept and back and not facts["lost"] and not facts["not_clean"]
    return {"fault": "PostgreSQL away", "outages": outages, **facts, "good": good}


def disk(run: Path) -> Facts:
    """A store on a file system of 16 MiB, four times SQLite's write-ahead log, that something fills up."""
    folder = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    try:
        with serving(run, f"sqlite:///{folder}/store.db") as server:
            load = Load(server, an_item(server), events_per_second=50, questions_per_second=10)

            async def fill() -> None:
                going = asyncio.create_task(load.go())
                await asyncio.sleep(3)
                before = load.statuses["/v1/events 200"]
                occupy(folder / "other-files")
                await asyncio.sleep(6)
                during = load.statuses["/v1/events 503"]
                (folder / "other-files").unlink()
                freed = time.monotonic()
                await asyncio.sleep(3)
                load.stopped = True
                await going
                back = None if load.first_after is None else round(max(0.0, load.first_after - freed), 2)
                found.update(acknowledged_before=before, refused_while_full=during, back_after_s=back)

            found: Facts = {}
            asyncio.run(fill())
            facts = load.facts()
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
    good = found["refused_while_full"] > 0 and found["back_after_s"] is not None
    good = good and not facts["lost"] and not facts["not_clean"]
    return {"fault": "disk full", **found, **facts, "good": good}


def occupy(path: Path) -> None:
    """Fill all the room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 512):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


@dataclass(frozen=True)
class Attack:
    """One request that wants too much."""

    name: str
    path: str
    body: Callable[[], Any]
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def chunks(size: int) -> Any:
    for _ in range(size // 65_536):
        yield b" " * 65_536


def searching(data: bytes) -> bytes:
    return json.dumps({"history": [], "picture": base64.b64encode(data).decode()}).encode()


def attacks() -> list[Attack]:
    pictures: dict[str, Callable[[], bytes]] = {
        "PNG of 50,000 x 50,000 pixels, 0.3 MB": hostile.huge_png,
        "PNG whose pixels unpack to 1 GiB": lambda: hostile.png(60_000, 20_000, hostile.zeros(1024), bits=8),
        "PNG whose text unpacks to 1 GiB": lambda: hostile.text_bomb(1024),
        "PNG whose colour profile unpacks to 1 GiB": lambda: hostile.profile_bomb(1024),
        "GIF that claims 65,535 x 65,535": hostile.wide_gif,
        "WebP of 16,383 x 16,383": hostile.large_webp,
        "WebP, animated, that claims 16,383 x 16,383": hostile.wide_webp,
        "JPEG of 50,000 scans": lambda: hostile.scan_bomb(50_000),
    }
    return [
        Attack("body of 100 MB, announced", "/v1/events/batch", lambda: b" " * 100_000_000),
        Attack("body of 100 MB, in chunks", "/v1/events/batch", lambda: chunks(100_000_000)),
        Attack("JSON nested 1,000,000 deep", "/v1/recommend", lambda: b"[" * 1_000_000),
        *(
            Attack(name, "/v1/search", lambda make=make: searching(make()))  # type: ignore[misc]
            for name, make in pictures.items()
        ),
    ]


ACCEPTED: dict[str, Callable[[], bytes]] = {
    "GIF of 50,000 frames: the first is read": lambda: hostile.endless_gif(50_000),
    "PNG with 1 GiB behind its pixels: it is not unpacked": lambda: hostile.pixel_bomb(1024),
    "PNG at the limit, 4,000 x 4,000": lambda: hostile.png(4000, 4000, hostile.zeros(2)),
}


def attacked(server: Server, client: httpx.Client, one: Attack) -> Facts:
    body = one.body()
    resident = server.peak_bytes(reset=True)
    started = time.monotonic()
    try:
        response = client.post(one.path, content=body, headers=one.headers)
        status, detail = response.status_code, response.json().get("detail", "")
    except httpx.TransportError:  # the server closed while the body was still coming
        status, detail = 0, "connection closed"
    spent = time.monotonic() - started
    grown = server.peak_bytes() - resident
    return {
        "request": one.name,
        "status": status,
        "seconds": round(spent, 3),
        "memory_grown_mib": round(grown / 2**20, 1),
        "detail": detail[:100],
    }


def hostile_requests(run: Path) -> Facts:
    """Too large bodies and pictures: refused within a second, in bounded memory, and the server goes on."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(run, f"sqlite:///{folder}/store.db") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        refused = [attacked(server, client, one) for one in attacks()]
        taken = [
            attacked(server, client, Attack(name, "/v1/search", lambda make=make: searching(make())))  # type: ignore[misc]
            for name, make in ACCEPTED.items()
        ]
        alive = client.post("/v1/recommend", json={"history": []}).status_code == 200
    good = alive and all(one["status"] in (0, 400, 413, 422) and one["seconds"] < 1 for one in refused)
    good = good and all(one["status"] == 200 for one in taken)
    good = good and all(one["memory_grown_mib"] < 256 for one in [*refused, *taken])
    return {
        "fault": "hostile requests",
        "refused": refused,
        "read": taken,
        "alive_after": alive,
        "good": good,
    }


def schema(run: Path, program: str, requests: int, mode: str) -> Facts:
    """What schemathesis makes of the OpenAPI document: wrong in every way it knows; none may be a 500."""
    with tempfile.TemporaryDirectory() as folder, serving(run, f"sqlite:///{folder}/store.db") as server:
        found = shutil.which(program)
        if found is None:
            raise SystemExit(
                f"needs {program} (pip install schemathesis, in a virtual environment of its own)"
            )
        command = [
            str(Path(found).absolute()),
            "run",
            f"{server.url}/openapi.json",
            "--checks",
            "not_a_server_error",
        ]
        command += [
            "--mode",
            "negative",
            "--phases",
            "coverage,fuzzing",
            "--no-color",
            "--continue-on-failure",
        ]
        command += ["--max-examples", str(max(1, requests // 10)), "--generation-database", "none"]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        metrics = httpx.get(f"{server.url}/metrics").text
        alive = httpx.post(f"{server.url}/v1/recommend", json={"history": []}).status_code == 200
    counted = re.findall(r'unimp_requests_total\{.*status="(\d+)"\} (\S+)', metrics)
    statuses: Counter[str] = Counter()
    for status, count in counted:
        statuses[status] += int(float(count))
    total = sum(statuses.values())
    errors = sum(count for status, count in statuses.items() if status == "500")
    good = alive and ended.returncode == 0 and errors == 0 and total >= requests
    facts = {"requests": total, "statuses": dict(sorted(statuses.items())), "alive_after": alive}
    if ended.returncode:
        facts["schemathesis"] = ended.stdout[-2000:]
    return {"fault": f"requests made from the schema, {mode}", **facts, "good": good}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fault", choices=["kill", "postgresql", "disk", "hostile", "schema"])
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--events-per-second", type=float, default=50)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--schemathesis", default=shutil.which("schemathesis") or "schemathesis")
    parser.add_argument("--mode", choices=["negative", "positive", "all"], default="negative")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    faults: dict[str, Callable[[], Facts]] = {
        "kill": lambda: kill(asked.run, asked.rounds, asked.events_per_second),
        "postgresql": lambda: postgresql(asked.run),
        "disk": lambda: disk(asked.run),
        "hostile": lambda: hostile_requests(asked.run),
        "schema": lambda: schema(asked.run, asked.schemathesis, asked.requests, asked.mode),
    }
    document = json.dumps(faults[asked.fault](), indent=2)
    print(document)
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(document + "\n")
    sys.exit(0 if json.loads(document)["good"] else 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
