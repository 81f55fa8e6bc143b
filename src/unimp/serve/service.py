"""`Service`: one opened run and one store; every route and page asks it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio

from unimp.core.errors import ConfigError, DataError
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.pictures import PixelArray
from unimp.data.upserts import NewItem
from unimp.personalizer import Personalizer
from unimp.serve.decoding import DecodingBudget, PictureDecoder
from unimp.serve.errors import TooSlow
from unimp.serve.history_cache import HistoryCache
from unimp.serve.item_sync import ItemSync, VersionedItem
from unimp.serve.items import Items, ShownPicture, picture_version
from unimp.serve.limits import BodyLimits
from unimp.serve.metrics import Metrics
from unimp.serve.model import Question, ServedModel
from unimp.serve.pictures import check_upload, decoding_bytes
from unimp.serve.queue import TaskQueue
from unimp.serve.settings import ServeSettings
from unimp.serve.store.records import Added, StoredEvent
from unimp.serve.store.store import Store, StoreUnavailable
from unimp.serve.users import UserHistory
from unimp.serve.worker import ModelWorker
from unimp.tasks.requests import TaskRequest
from unimp.tasks.task import AnyTask

LOG = logging.getLogger("unimp")
STORE_READS, STORE_WRITES = 4, 2
"""Blocking calls at once: fewer than the store's connections, and apart, so that reads do not wait for a lock
that writes wait for."""
PING_SECONDS = 10.0
"""How long the model may take for its turn before the server counts as not ready."""
SLOT_SECONDS = 5.0
"""How long a call waits for its turn before the store counts as away."""
MOST_HISTORY = 1000
"""Items of a history that comes with a request."""

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


class Service:
    """The road of a request: its user's history, the queue of its task, the model's thread, the answer."""

    def __init__(
        self, trained: Personalizer, store: Store, settings: ServeSettings, bodies: BodyLimits
    ) -> None:
        self.store, self.settings, self.bodies = store, settings, bodies
        self.metrics = Metrics()
        self.worker = ModelWorker(settings, self.metrics)
        self.model = ServedModel(trained, store.picture, settings.prefix_cache_bytes, self.worker.give_way)
        self.metrics.watch(self.model.prefixes)
        self.histories = HistoryCache(settings.history_cache_bytes)
        self.decoder = PictureDecoder()
        self.decoding = DecodingBudget(settings.decoding_bytes)
        self.items = Items(self.model, store, self.decoder, settings.picture_cache_bytes)
        self.item_sync = ItemSync(self.model, store, self.decoder)
        self.puts = self.worker.add_queue("put", self.item_sync.put, length="alone")
        self.calls: TaskQueue[Callable[[], Any], Any] = self.worker.add_queue(
            "call", lambda calls: [call() for call in calls], batched=False, length="alone"
        )
        self.pings: TaskQueue[None, None] = self.worker.add_queue("ping", list)
        self.queues = {task.name: self._queue(task) for task in self.model.tasks}
        self.read_slots = anyio.CapacityLimiter(STORE_READS)
        self.write_slots = anyio.CapacityLimiter(STORE_WRITES)

    def _queue(self, task: AnyTask) -> TaskQueue[Question, Any]:
        return self.worker.add_queue(
            task.command,
            partial(self.model.answer, task),
            length="long" if task.by_likelihood else "brief",
        )

    @property
    def personalizer(self) -> Personalizer:
        """Its newest version, with all items that were put."""
        return self.model.personalizer

    @property
    def catalog(self) -> Catalog:
        """Its newest version."""
        return self.model.catalog

    @property
    def dataset(self) -> Dataset:
        return self.model.dataset

    @property
    def tasks(self) -> dict[str, AnyTask]:
        """By name."""
        return {task.name: task for task in self.model.tasks}

    async def close(self) -> None:
        await self.worker.close()
        await self.in_store(self.store.close)
        await anyio.to_thread.run_sync(self.decoding.close)
        await anyio.to_thread.run_sync(self.decoder.close)

    async def in_store(
        self, function: Callable[Inputs, Result], *args: Inputs.args, **kwargs: Inputs.kwargs
    ) -> Result:
        """A call that reads the store, in a thread; StoreUnavailable when too many others wait."""
        return await in_slot(self.read_slots, partial(function, *args, **kwargs))

    async def write(
        self, function: Callable[Inputs, Result], *args: Inputs.args, **kwargs: Inputs.kwargs
    ) -> Result:
        """A call that writes to the store, in a thread."""
        return await in_slot(self.write_slots, partial(function, *args, **kwargs))

    async def model_pixels(self, picture: bytes, place: str, client: str = "") -> PixelArray | None:
        """A picture at the model's size; None for a model that reads no pictures."""
        size = self.model.picture_size
        if size is None:
            return None
        cost = await anyio.to_thread.run_sync(decoding_bytes, picture)
        decode = partial(self.decoder.pixels, picture, place, *size)
        limit = self.settings.answer_seconds
        try:
            async with asyncio.timeout(limit):
                return await self.decoding.run(cost, decode, client)
        except TimeoutError:
            raise TooSlow(
                f"{place}: not read within {limit:g} seconds; try again, or make it smaller"
            ) from None

    async def answer(
        self, kind: type[AnyTask], request: TaskRequest, client: str, history: UserHistory | None = None
    ) -> Any:
        """The task's answer to a request of its own class. `history`: instead of the one that it names.

        Raises DataError and ConfigError for a wrong request; Busy, TooManyWaiting and TooSlow under load.
        When the caller is cancelled, writing and drawing for it end at the next step.
        """
        task = self.model.checked_task(kind, request)
        pixels, request = await self._take_picture(request, client)
        if history is None:
            history = await self.history(request)
        left = threading.Event()
        try:
            question = Question(request, history, pixels, left.is_set)
            size = question.num_bytes
            return await self.worker.ask(self.queues[task.name], question, client, num_bytes=size)
        finally:
            left.set()

    async def _take_picture(self, request: TaskRequest, client: str) -> tuple[PixelArray | None, TaskRequest]:
        """The request's picture at the model's size, and the request without it.

        What waits in a queue is thus of the model's size, not of the client's.
        """
        picture = request.shown_picture
        if picture is None:
            return None, request
        assert isinstance(picture, bytes)
        await anyio.to_thread.run_sync(check_upload, picture, self.settings)
        pixels = await self.model_pixels(picture, "picture", client)
        if pixels is None:
            raise ConfigError("this checkpoint looks at no pictures; ask in words")
        without: dict[str, Any] = {str(request.picture_field): None}
        return pixels, request.model_copy(update=without)

    async def history(self, request: TaskRequest) -> UserHistory:
        """The history that the request names; DataError for an unknown item, empty for an unknown user."""
        user = request.user
        if user is None:
            if len(request.history or ()) > MOST_HISTORY:
                raise ConfigError(f"history: at most {MOST_HISTORY:,} items; leave the oldest out")
            return UserHistory.from_items(self.catalog.rows(list(request.history or ())))
        if (cached := self.histories.get(user)) is not None:
            self.metrics.histories.labels("cached").inc()
            return cached
        self.metrics.histories.labels("read").inc()
        token, history = self.histories.begin_read(user), None
        try:
            log = await self.in_store(self.store.user_log, user, self.settings.history_events)
            history = UserHistory.from_log(self.dataset, user, log)
        finally:
            self.histories.end_read(user, token, history)
        return history

    async def add_events(self, events: Sequence[StoredEvent]) -> Added:
        """Stored when this returns; DataError when an item is unknown or a rating is off the scale."""
        await self.in_store(self._check_events, events)
        try:
            added = await self.write(self.store.add_events, events)
        finally:  # after a failure, too: part of it may have reached the store
            self.histories.drop(event.user_id for event in events)
        self.metrics.events.labels("accepted").inc(added.accepted)
        self.metrics.events.labels("duplicate").inc(added.duplicates)
        return added

    def _check_events(self, events: Sequence[StoredEvent]) -> None:
        scale = self.dataset.interactions.rating_scale
        self.items.check(event.item_id for event in events)
        for event in events:
            if scale and event.rating is not None and not scale.low <= event.rating <= scale.high:
                raise DataError(
                    f'event "{event.event_id}": rating {event.rating:g} is off the scale; '
                    f"the data's ratings go from {scale.low:g} to {scale.high:g}"
                )

    async def forget(self, user: str, client: str) -> int:
        """Delete the user's events and all that is cached of them; how many events there were.

        `client`: who asked for it; the log names it, and not the user.
        """
        try:
            deleted = await self.write(self.store.forget, user)
        finally:
            self.drop_user(user)
        LOG.warning("%s: a user was forgotten, %d events deleted", client, deleted)
        return deleted

    def drop_user(self, user: str) -> None:
        """From memory."""
        self.histories.drop([user])
        self.model.forget_user(user)

    def drop_everybody(self) -> None:
        """From memory: what changed meanwhile is not known."""
        self.histories.clear()
        for user in self.model.cached_users():
            self.model.forget_user(user)

    async def put_item(self, item_id: str, attributes: dict[str, str], picture: bytes | None) -> None:
        """Store the item and answer with it from now on; DataError for an attribute the data do not have."""
        self.model.check_attributes(item_id, attributes)
        pixels = None
        if picture is not None:
            pixels = await self.model_pixels(picture, f'item "{item_id}"')
        version = await self.write(self.store.put_item, item_id, attributes, picture)
        item = NewItem(item_id, attributes, pixels, picture is not None)
        await self.put_read_items([VersionedItem(item_id, version, item)])
        self.metrics.items.inc()

    async def remove_item(self, item_id: str) -> None:
        """Answer with the item no more; its content is deleted from the store."""
        await self.write(self.store.remove_item, item_id)
        await self.put_read_items(await self.in_store(self.item_sync.read, [item_id]))

    async def put_read_items(self, items: Sequence[VersionedItem]) -> None:
        """Put items of the store into the model, or take them out."""
        await asyncio.gather(*(self.worker.ask(self.puts, item, num_bytes=item.num_bytes) for item in items))

    async def item_picture(self, item_id: str, version: str = "") -> ShownPicture | None:
        """The item's picture for a browser; only one that was not made before waits for a decoder.

        `version`: the one that the page named. Another server may have made it, so the version that this
        server knows of does not answer for it.
        """
        known = picture_version(self.item_sync.versions.get(item_id, ""))
        if (cached := self.items.cached_picture(item_id, version or known)) is not None:
            return cached
        file = await self.in_store(self.items.picture_file, item_id)
        if file is None:
            return None
        if (cached := self.items.cached_picture(item_id, file.version)) is not None:
            return cached
        with self.bodies.holding(len(file.data)):
            cost = await anyio.to_thread.run_sync(decoding_bytes, file.data)
            return await self.decoding.run(cost, partial(self.items.show_picture, item_id, file))

    async def ping_model(self) -> None:
        """TooSlow unless the model's thread has a turn soon; brief requests come before long ones."""
        await self.worker.ask(self.pings, None, seconds=PING_SECONDS)

    async def call(
        self, function: Callable[Inputs, Result], *args: Inputs.args, **kwargs: Inputs.kwargs
    ) -> Result:
        """Call the function in the model's thread, alone."""
        call: Callable[[], Any] = partial(function, *args, **kwargs)
        result: Result = await self.worker.ask(self.calls, call)
        return result


async def in_slot(slots: anyio.CapacityLimiter, function: Callable[[], Result]) -> Result:
    """Call the function in a thread when one of the slots is free.

    A caller that is cancelled leaves the thread at work: the slot is free when that is done.
    """
    borrower = object()
    try:
        with anyio.fail_after(SLOT_SECONDS):
            await slots.acquire_on_behalf_of(borrower)
    except TimeoutError:
        raise StoreUnavailable("store: too many calls are waiting; try again in a moment") from None
    work = asyncio.ensure_future(anyio.to_thread.run_sync(function))

    def done(_: asyncio.Future[Result]) -> None:
        slots.release_on_behalf_of(borrower)
        if not work.cancelled():
            work.exception()  # read, though nobody may wait for it any more

    work.add_done_callback(done)
    return await asyncio.shield(work)
