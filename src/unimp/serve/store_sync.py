"""`StoreSync`: what other servers on the same store wrote becomes known here within about a second."""

from __future__ import annotations

import asyncio
import time

from unimp.core.errors import UnimpError
from unimp.serve.item_sync import CHUNK
from unimp.serve.service import Service
from unimp.serve.store.store import News

LOOK_BACK_SECONDS = 60
"""By how much the clocks of two servers may differ, or how long a transaction may last."""


class StoreSync:
    """Reads the store's changes again and again. While the store is away there are none."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.sequence = 0
        self.loop_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the items that were upserted before, then follow the changes."""
        service, loop = self.service, asyncio.get_running_loop()
        self.sequence = await service.in_store(service.store.last_sequence)
        await loop.run_in_executor(service.worker.thread, service.item_sync.load_all)
        self.loop_task = loop.create_task(self._follow())

    async def stop(self) -> None:
        if self.loop_task is not None:
            self.loop_task.cancel()
            await asyncio.gather(self.loop_task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self.service.settings.sync_seconds)
            try:
                await self.sync()
            except UnimpError:
                continue

    async def sync(self) -> None:
        """Read the changes once and take them over."""
        service, items = self.service, self.service.item_sync
        since = int(time.time()) - LOOK_BACK_SECONDS
        news: News = await service.in_store(service.store.news, self.sequence, since)
        self.sequence = news.sequence
        service.histories.drop(news.users)
        for user in service.histories.users_of(news.forgotten, service.model.cached_users()):
            service.drop_user(user)
        outdated = items.outdated(news.versions)
        for start in range(0, len(outdated), CHUNK):
            chunk = await service.in_store(items.read, outdated[start : start + CHUNK])
            await service.put_read_items(chunk)
