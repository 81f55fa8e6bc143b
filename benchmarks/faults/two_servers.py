"""Two servers on one SQLite file: random events, forgets, upserts and removals through either; both agree."""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from attacked import Server

SEEN_SECONDS = 2.0
USERS = [f"user {number}" for number in range(20)]


def compared(clients: list[httpx.Client], items: list[str], chance: random.Random) -> list[str]:
    """What the two answer differently."""
    wrong = []
    for user in chance.sample(USERS, 4):
        answers = [client.post("/v1/recommend", json={"user": user, "k": 50}).json() for client in clients]
        if answers[0]["history"] != answers[1]["history"]:
            wrong.append(f"history of {user}")
        elif [i["item_id"] for i in answers[0]["items"]] != [i["item_id"] for i in answers[1]["items"]]:
            wrong.append(f"items for {user}")
    for item in chance.sample(items, 4):
        views = [client.get(f"/v1/items/{item}") for client in clients]
        if [view.status_code for view in views] != [views[0].status_code] * 2 or views[0].text != views[
            1
        ].text:
            wrong.append(f"item {item}")
    return wrong


def write(client: httpx.Client, items: list[str], number: int, chance: random.Random) -> str:
    """One random write; what it was."""
    kind = chance.choices(["event", "forget", "upsert", "remove"], [90, 4, 4, 2])[0]
    user, item = chance.choice(USERS), chance.choice(items)
    if kind == "event":
        answer = client.post("/v1/events", json={"event_id": f"e{number}", "user": user, "item": item})
    elif kind == "forget":
        answer = client.delete(f"/v1/users/{user}/history")
    elif kind == "upsert":
        answer = client.put(
            f"/v1/items/{item}", json={"attributes": {"category": chance.choice(["mug", "bag"])}}
        )
    else:
        answer = client.delete(f"/v1/items/{item}")
    return f"{kind} {answer.status_code}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--writes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chance, counts, wrong = random.Random(arguments.seed), dict[str, int](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/store.db"
        servers = [Server.start(arguments.run, store) for _ in range(2)]
        clients = [httpx.Client(base_url=server.url, timeout=60) for server in servers]
        found: dict[str, Any] = clients[0].post("/v1/recommend", json={"history": [], "k": 60}).json()
        items = [item["item_id"] for item in found["items"]]
        for number in range(arguments.writes):
            done = write(chance.choice(clients), items, number, chance)
            counts[done] = counts.get(done, 0) + 1
            if number % 50 == 49:
                time.sleep(SEEN_SECONDS)
                wrong += [f"after {number + 1}: {what}" for what in compared(clients, items, chance)]
        for client, server in zip(clients, servers, strict=True):
            client.close()
            server.end()
    print(json.dumps({"fault": "two servers, one store", "writes": counts, "different": wrong}, indent=1))


if __name__ == "__main__":
    main()
