"""`DecodingBudget`: how much memory the pictures that are being decoded may take together."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import anyio

Result = TypeVar("Result")

DECODERS = 2
"""Pictures decoded at once, however small they are: more would only take processor time from the model."""
LARGE_BYTES = 16 * 2**20
"""After decoding a picture of this memory, what the allocator keeps is given back to the system."""


class DecodingBudget:
    """Lets calls run in threads, in their order, while their bytes fit. Only for the event loop's thread.

    A call that alone is larger than the bound runs when no other does.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes, self.running = max_bytes, 0, 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def run(self, num_bytes: int, function: Callable[[], Result]) -> Result:
        """The result of the function, which takes about that much memory."""
        cost = min(num_bytes, self.max_bytes)
        await self._enter(cost)
        try:
            return await anyio.to_thread.run_sync(function)
        finally:
            self._leave(cost)
            if num_bytes >= LARGE_BYTES:
                await anyio.to_thread.run_sync(return_free_memory)

    async def _enter(self, cost: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((cost, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()
            else:  # its turn came at the same moment
                self._leave(cost)
            raise

    def _leave(self, cost: int) -> None:
        self.bytes -= cost
        self.running -= 1
        self._admit()

    def _admit(self) -> None:
        while self.waiting:
            cost, turn = self.waiting[0]
            if turn.cancelled():
                self.waiting.popleft()
            elif self.running < DECODERS and self.bytes + cost <= self.max_bytes:
                self.waiting.popleft()
                self.bytes += cost
                self.running += 1
                turn.set_result(None)
            else:
                return


def return_free_memory() -> None:
    """Give what glibc's allocator has freed, and keeps, back to the system; elsewhere nothing happens."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
