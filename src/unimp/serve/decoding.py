"""Pictures are decoded by processes of their own, as many at once as their bytes allow.

Pillow's decoders are native code that reads strangers' bytes, and some (WebP) hold Python's global lock for
as long as they work, which would keep the server from answering anybody.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import anyio
import numpy as np

from unimp.core.errors import DataError
from unimp.data.pictures import PixelArray

Result = TypeVar("Result")

DECODERS = 2
"""Processes."""
DECODING_SECONDS = 20.0
"""A process that takes longer for one picture is ended."""


class PictureDecoder:
    """The processes; each starts when it is needed first. Methods block, and may be called in any thread."""

    def __init__(self) -> None:
        self.idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(DECODERS):
            self.idle.put(None)

    def pixels(self, data: bytes, place: str, height: int, width: int) -> PixelArray:
        """[height, width, 3], the whole picture; DataError when it cannot be decoded. `place`: for errors."""
        found = self._decode(data, {"place": place, "height": height, "width": width})
        return np.frombuffer(bytearray(found), np.uint8).reshape(height, width, 3)

    def png(self, data: bytes, place: str, longest: int) -> bytes:
        """A PNG file with at most `longest` pixels a side."""
        return self._decode(data, {"place": place, "longest": longest})

    def close(self) -> None:
        """End the processes that are not at work."""
        while not self.idle.empty():
            process = self.idle.get()
            if process is not None:
                end(process)

    def _decode(self, data: bytes, asked: dict[str, Any]) -> bytes:
        process = self.idle.get() or start()
        slow = threading.Timer(DECODING_SECONDS, process.kill)
        slow.start()
        try:
            answer = exchange(process, data, asked)
        except (OSError, ValueError):  # it was ended, for time or by the system, or fell over the picture
            process.kill()
            end(process)
            self.idle.put(None)
            raise DataError(f"{asked['place']}: cannot be decoded; save it anew as a plain JPEG") from None
        finally:
            slow.cancel()
        self.idle.put(process)
        if isinstance(answer, str):
            raise DataError(answer)
        return answer


def start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "unimp.serve.decoder_program"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment)


def end(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself when its input does."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):
        process.stdin.close()
    process.stdout.close()
    process.wait()


def exchange(process: subprocess.Popen[bytes], data: bytes, asked: dict[str, Any]) -> bytes | str:
    """The decoded bytes, or the reason why there are none; OSError or ValueError when the process ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({**asked, "size": len(data)}).encode() + b"\n")
    process.stdin.write(data)
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    found = process.stdout.read(answer["size"])
    return found if answer["error"] is None else str(answer["error"])


@dataclass(frozen=True)
class WaitingPicture:
    """A picture whose turn has not come."""

    client: str
    num_bytes: int
    number: int
    turn: asyncio.Future[None]


class DecodingBudget:
    """Lets calls run in threads while their bytes fit; clients take turns. Only for the event loop's thread.

    A call that alone is larger than the bound runs when no other does.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes, self.running = max_bytes, 0, 0
        self.waiting: list[WaitingPicture] = []
        self.served: dict[str, int] = {}
        """Client -> when its latest turn was, until all pictures are decoded."""
        self.numbers = count()

    async def run(self, num_bytes: int, function: Callable[[], Result], client: str = "") -> Result:
        """The result of the function, which takes about that much memory."""
        cost = min(num_bytes, self.max_bytes)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(WaitingPicture(client, cost, next(self.numbers), turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()
            else:  # its turn came at the same moment
                self._leave(cost)
            raise
        try:
            return await anyio.to_thread.run_sync(function)
        finally:
            self._leave(cost)

    def _leave(self, cost: int) -> None:
        self.bytes -= cost
        self.running -= 1
        self._admit()

    def _admit(self) -> None:
        self.waiting = [picture for picture in self.waiting if not picture.turn.cancelled()]
        while self.waiting and self.running < DECODERS:
            picture = min(self.waiting, key=lambda entry: (self.served.get(entry.client, -1), entry.number))
            if self.bytes + picture.num_bytes > self.max_bytes:
                return
            self.waiting.remove(picture)
            self.served[picture.client] = next(self.numbers)
            self.bytes += picture.num_bytes
            self.running += 1
            picture.turn.set_result(None)
        if not self.waiting and not self.running:
            self.served.clear()
