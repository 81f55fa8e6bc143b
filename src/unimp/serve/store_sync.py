"""`NewsReader`: what other servers on the same store wrote becomes known here within a second or so."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from unimp.core.errors import UnimpError
from unimp.serve.item_sync import AT_ONCE
from unimp.serve.store.store import News

if TYPE_CHECKING:
    from unimp.serve.service import Service

LOOKS_BACK = 60
"""Seconds by which the clocks of two servers may differ, or a transaction may last."""


class NewsReader:
    """Asks the store again and again. While it is away nothing is news; questions say so themselves."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.sequence = 0
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Put what was upserted before; then listen."""
        service = self.service
        self.sequence = await service.in_store(service.store.last_sequence)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(service.engine.thread, service.shelf.open)
        self.task = loop.create_task(self._listen())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(self.service.settings.news_seconds)
            try:
                await self.look()
            except UnimpError:
                continue

    async def look(self) -> None:
        service = self.service
        since = int(time.time()) - LOOKS_BACK
        news: News = await service.in_store(service.store.news, self.sequence, since)
        self.sequence = news.sequence
        service.pasts.drop(news.users)
        for user in service.pasts.hashed(news.forgotten, service.memory.users()):
            service.drop_user(user)
        missing = service.shelf.missing(news.versions)
        for start in range(0, len(missing), AT_ONCE):
            read = await service.in_store(service.shelf.read, missing[start : start + AT_ONCE])
            for item, _ in read:
                service.items.pictures.drop(item.item_id)
            await asyncio.gather(*(service.engine.ask(service.putting, one) for one in read))
