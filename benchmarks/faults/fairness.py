"""Key A draws as much as it may; key B asks for recommendations. The times of B with and without A.

B is another process than A, and another session: A's forty clients take none of its processor time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from functools import partial

import httpx
import numpy as np
from attacked import CHOSEN, Facts, Server, counted, main, status_of

from unimp.serve.store.store import Store

SECONDS, DRAWERS = 30.0, 40
DRAWING = {"history": [], "text": "bag", "count": 4}
READ = frozenset({"read"})


def times_of(server: Server, key: str, seconds: float) -> Facts:
    """What a process of its own measured of the key's recommendations."""
    command = [sys.executable, __file__, server.url, key, str(seconds)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, start_new_session=True)
    facts: Facts = json.loads(found.stdout)
    return facts


def ask(url: str, key: str, seconds: float) -> Facts:
    """Recommendations one after the other, ten a second."""
    times, statuses = [], []
    with client_of(url, key) as client:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            started = time.monotonic()
            statuses.append(status_of(partial(client.post, "/v1/recommend", json=asked(len(times)))))
            times.append(time.monotonic() - started)
            time.sleep(max(0.0, 0.1 - times[-1]))
    p50, p95 = np.percentile(np.array(times) * 1000, [50, 95]).round(1).tolist()
    return {"answers": counted(statuses), "p50_ms": p50, "p95_ms": p95}


def client_of(url: str, key: str) -> httpx.Client:
    """Without certificates, which cost each client 25 ms of processor time."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60, verify=False)


def asked(number: int) -> dict[str, object]:
    return {"user": f"u{number % 20}", "k": 10}


def attack(server: Server) -> Facts:
    store = Store.open(server.store)
    for name in ("A", "B"):
        store.add_key(f"secret of {name}", name, READ)
    store.close()
    time.sleep(1.5)
    seconds = CHOSEN.get("seconds", SECONDS)
    alone = times_of(server, "secret of B", seconds)
    stop, statuses = threading.Event(), []

    def draw() -> None:
        with client_of(server.url, "secret of A") as client:
            while not stop.is_set():
                statuses.append(status_of(partial(client.post, "/v1/imagine", json=DRAWING)))
                if statuses[-1] != "200":
                    time.sleep(1.0)  # what Retry-After says

    drawers = [threading.Thread(target=draw) for _ in range(DRAWERS)]
    for drawer in drawers:
        drawer.start()
    beside = times_of(server, "secret of B", seconds)
    stop.set()
    for drawer in drawers:
        drawer.join()
    ratio = round(beside["p95_ms"] / alone["p95_ms"], 1)
    return {
        "seconds_each": seconds,
        "B_alone": alone,
        "B_beside_A": beside,
        "p95_ratio": ratio,
        "drawings_of_A": counted(statuses),
    }


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1].startswith("http://"):
        print(json.dumps(ask(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
        sys.exit()
    main(f"{DRAWERS} clients of one key draw all the time", attack, ["--keys", "--rate", "1000"], wait=False)
