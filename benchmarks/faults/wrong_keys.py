"""Wrong keys, as many as go, from the address of a client with a right one."""

from __future__ import annotations

import threading
import time
import uuid

import httpx
from attacked import Facts, Server, counted, main, status_of

from unimp.serve.store.store import Store

SECONDS, GUESSERS = 15.0, 8


def attack(server: Server) -> Facts:
    store = Store.open(server.store)
    for number in range(5):
        store.add_key(f"secret {number}", f"key {number}", frozenset({"read"}))
    store.close()
    stop, guesses = threading.Event(), []

    def guess() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not stop.is_set():
                headers = {"Authorization": f"Bearer {uuid.uuid4().hex}"}
                guesses.append(status_of(lambda: client.post("/v1/recommend", json={}, headers=headers)))  # noqa: B023

    guessers = [threading.Thread(target=guess) for _ in range(GUESSERS)]
    for guesser in guessers:
        guesser.start()
    right, until = [], time.monotonic() + SECONDS
    with httpx.Client(base_url=server.url, timeout=60) as client:
        while time.monotonic() < until:
            headers = {"Authorization": f"Bearer secret {len(right) % 5}"}
            right.append(status_of(lambda: client.post("/v1/recommend", json={}, headers=headers)))  # noqa: B023
            time.sleep(0.1)
    stop.set()
    for guesser in guessers:
        guesser.join()
    return {"wrong_keys": counted(guesses), "right_keys": counted(right)}


if __name__ == "__main__":
    main("wrong keys beside right ones", attack, ["--keys"], wait=False)
