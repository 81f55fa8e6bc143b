"""`StoreSync`: what other servers on the same store wrote becomes known here within about a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio

from unimp.core.errors import UnimpError
from unimp.serve.item_sync import CHUNK
from unimp.serve.service import Service, in_slot
from unimp.serve.store.changes import ChangeCursor, StoreChanges

LOG = logging.getLogger("unimp")
PRUNE_EVERY = 3600
"""Reads of the changes between two prunings of their log."""

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


class StoreSync:
    """Follows the store's log of changes. While the store is away there are none.

    It reads the store in a slot of its own: many questions about users that nobody knows do not delay it.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.slot = anyio.CapacityLimiter(1)
        self.cursor = ChangeCursor(0)
        self.read_at = time.monotonic()
        """When the latest read that was taken over began."""
        self.reads = 0
        self.loop_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the items that were upserted before, then follow the changes."""
        service, loop = self.service, asyncio.get_running_loop()
        self.cursor = await service.in_store(service.store.cursor)
        await loop.run_in_executor(service.worker.thread, service.item_sync.load_all)
        self.loop_task = loop.create_task(self._follow())

    async def stop(self) -> None:
        if self.loop_task is not None:
            self.loop_task.cancel()
            await asyncio.gather(self.loop_task, return_exceptions=True)

    async def _follow(self) -> None:
        seconds = self.service.settings.sync_seconds
        while True:
            await asyncio.sleep(max(seconds / 10, self.read_at + seconds - time.monotonic()))
            try:
                await self.sync()
            except UnimpError as error:
                LOG.warning("changes of other servers are not read: %s", error)

    async def sync(self) -> None:
        """Read the changes once and take them over; what fails half-way is read again."""
        service, began = self.service, time.monotonic()
        found: StoreChanges = await self._read(service.store.changes, self.cursor)
        if found.complete:
            service.histories.drop(found.users)
            for user in service.histories.users_of(found.forgotten, service.model.cached_users()):
                service.drop_user(user)
            versions = await self._versions(found.items)
        else:
            service.drop_everybody()
            versions = await self._read(service.store.item_versions)
        await self._take_over(versions)
        self.cursor = found.cursor
        service.metrics.sync_age.observe(time.monotonic() - self.read_at)
        self.read_at = began
        self.reads += 1
        if service.store.log_holds_forgotten:
            await service.write(service.store.empty_write_ahead_log)
        if self.reads % PRUNE_EVERY == 0:
            await service.write(service.store.prune)

    async def _read(
        self, function: Callable[Inputs, Result], *args: Inputs.args, **kwargs: Inputs.kwargs
    ) -> Result:
        return await in_slot(self.slot, partial(function, *args, **kwargs))

    async def _versions(self, item_ids: frozenset[str]) -> dict[str, str]:
        """Nothing changed is the rule: then the store is not asked."""
        if not item_ids:
            return {}
        return await self._read(self.service.store.item_versions, item_ids)

    async def _take_over(self, versions: dict[str, str]) -> None:
        service, items = self.service, self.service.item_sync
        outdated = items.outdated(versions)
        for start in range(0, len(outdated), CHUNK):
            chunk = await self._read(items.read, outdated[start : start + CHUNK])
            await service.put_read_items(chunk)
