"""`Service`: questions of the web answered by the model and the store. Routes and pages stand on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio
from PIL import Image

from unimp.answer import (
    Drawing,
    Explanation,
    RatingForecast,
    Recommendation,
    SearchResult,
    Selection,
)
from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.upserts import NewItem
from unimp.inference.prefix_cache import PrefixCache
from unimp.personalizer import Personalizer
from unimp.serve.http.answering import Answering, Ranking
from unimp.serve.http.batching import Desk, Engine
from unimp.serve.http.connection import ClientGone
from unimp.serve.http.items import Items
from unimp.serve.http.live_model import LiveModel
from unimp.serve.http.metrics import Metrics
from unimp.serve.http.news import NewsReader
from unimp.serve.http.pasts import Pasts
from unimp.serve.http.people import Past, Remembering
from unimp.serve.http.schemas import Asker, ImagineIn
from unimp.serve.http.settings import ServeSettings
from unimp.serve.http.shelf import Shelf
from unimp.serve.store.store import Added, Store, StoredEvent

STORE_CALLS = 4
"""Blocking calls at once: fewer than the store's connections, so that no thread waits for one."""
DECODERS = 2
"""Pictures decoded at once."""

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


class Service:
    """One opened run and one store. Methods are coroutines; the model works in its engine's thread."""

    def __init__(self, trained: Personalizer, store: Store, settings: ServeSettings) -> None:
        self.store, self.settings = store, settings
        self.metrics = Metrics()
        self.engine = Engine(settings, self.metrics)
        self.memory = PrefixCache(settings.warm_bytes)
        cached = self.memory if settings.keep == "users" else None
        self.live = LiveModel(trained, store.picture, cached)
        self.metrics.watch(self.memory)
        self.pasts = Pasts(settings.past_bytes if settings.keep == "users" else 0)
        self.shelf = Shelf(self.live, store)
        self.callers = anyio.CapacityLimiter(STORE_CALLS)
        self.decoders = anyio.CapacityLimiter(DECODERS)
        self.items = Items(self.live, store)
        answering = Answering(self.live, settings)
        self.recommending = Desk("recommend", answering.recommend_all)
        self.searching = Desk("search", answering.search_all)
        self.putting = Desk("put", self.shelf.put)
        self.others = {
            name: Desk[Callable[[], Any], Any](name, lambda calls: [call() for call in calls], together=False)
            for name in ("search", "rate", "explain", "select", "imagine")
        }
        self.news = NewsReader(self)

    @property
    def personalizer(self) -> Personalizer:
        """As it answers now, with all items that were put."""
        return self.live.personalizer

    @property
    def catalog(self) -> Catalog:
        return self.live.catalog

    @property
    def dataset(self) -> Dataset:
        return self.live.dataset

    async def open(self) -> None:
        """Start the model's thread, put the store's items, and listen to what other servers write."""
        self.engine.start()
        await self.news.start()

    async def close(self) -> None:
        await self.news.stop()
        await self.engine.close()
        await self.in_store(self.store.close)

    async def in_store(
        self, function: Callable[Inputs, Result], *args: Inputs.args, **kwargs: Inputs.kwargs
    ) -> Result:
        """A blocking call, in a thread; as many at once as the store has connections."""
        return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.callers)

    async def decoded(
        self, function: Callable[Inputs, Result], *args: Inputs.args, **kwargs: Inputs.kwargs
    ) -> Result:
        """A call that decodes a picture: few at a time, each may need a hundred megabytes."""
        return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), limiter=self.decoders)

    async def past(self, asker: Asker) -> Past:
        """DataError for an unknown item; an unknown user has an empty past."""
        if asker.user is None:
            return Past.of_items(self.catalog.rows(asker.history or []))
        if (kept := self.pasts.get(asker.user)) is not None:
            self.metrics.pasts.labels("kept").inc()
            return kept
        self.metrics.pasts.labels("read").inc()
        token = self.pasts.reading(asker.user)
        log = await self.in_store(self.store.user_log, asker.user, self.settings.history_events)
        past = Past.of_user(self.dataset, asker.user, log)
        self.pasts.keep(asker.user, past, token)
        return past

    async def add_events(self, events: Sequence[StoredEvent]) -> Added:
        """Stored when this returns; DataError when an item is unknown or a rating is off the scale."""
        await self.in_store(self._check_events, events)
        try:
            added = await self.in_store(self.store.add_events, events)
        finally:  # whatever became of them
            self.pasts.drop(event.user_id for event in events)
        self.metrics.events.labels("accepted").inc(added.accepted)
        self.metrics.events.labels("duplicate").inc(added.duplicates)
        return added

    async def forget(self, user: str) -> int:
        """Delete the user's events, and all that is kept of them; how many there were."""
        try:
            return await self.in_store(self.store.forget, user)
        finally:
            self.drop_user(user)

    def drop_user(self, user: str) -> None:
        """From memory."""
        self.pasts.drop([user])
        self.memory.forget_user(user)

    async def put_item(self, item_id: str, attributes: dict[str, str], picture: bytes | None) -> None:
        """Stored, and answered with from now on; DataError for an attribute that the data do not have."""
        self.catalog.check_attributes(item_id, attributes)
        pixels = None
        if picture is not None:
            pixels = await self.decoded(self.personalizer.item_pixels, picture, item_id)
        version = await self.in_store(self.store.put_item, item_id, attributes, picture)
        self.items.pictures.drop(item_id)
        new = NewItem(item_id, attributes, pixels, picture is not None)
        await self.engine.ask(self.putting, (new, version))
        self.metrics.items.inc()

    def _check_events(self, events: Sequence[StoredEvent]) -> None:
        scale = self.dataset.interactions.rating_scale
        self.items.check(event.item_id for event in events)
        for event in events:
            if scale and event.rating is not None and not scale.low <= event.rating <= scale.high:
                raise DataError(
                    f'event "{event.event_id}": rating {event.rating:g} is off the scale; '
                    f"the data's ratings go from {scale.low:g} to {scale.high:g}"
                )

    async def recommend(self, past: Past, k: int, *, exclude_history: bool = True) -> Recommendation:
        return await self.engine.ask(self.recommending, Ranking(past, k, exclude_history))

    async def search(
        self, past: Past, text: str, picture: Image.Image | None, k: int, *, exclude_history: bool = True
    ) -> SearchResult:
        """Words alone are answered together with others'; a picture has to be looked at first."""
        if picture is None:
            return await self.engine.ask(self.searching, Ranking(past, k, exclude_history, text))
        result: SearchResult = await self._ask(
            "search", past, text, picture, k=k, exclude_history=exclude_history
        )
        return result

    async def rate(self, past: Past, item: str) -> RatingForecast:
        result: RatingForecast = await self._ask("rate", past, item)
        return result

    async def explain(self, past: Past, item: str) -> Explanation:
        result: Explanation = await self._ask("explain", past, item)
        return result

    async def select(self, past: Past, candidates: Sequence[str], count: int | None) -> Selection:
        result: Selection = await self._ask("select", past, candidates, count=count)
        return result

    async def imagine(self, past: Past, wish: ImagineIn) -> Drawing:
        result: Drawing = await self._ask(
            "imagine",
            past,
            text=wish.text,
            attributes=wish.attributes,
            count=wish.count,
            seed=wish.seed,
            temperature=wish.temperature,
            top_p=wish.top_p,
        )
        return result

    async def _ask(self, task: str, past: Past, *args: Any, **kwargs: Any) -> Any:
        """One call of the personalizer's own method; it ends early when nobody waits for it any more."""
        left = threading.Event()

        def check() -> None:
            if left.is_set():
                raise ClientGone

        def call() -> Any:  # in the model's thread: with the items that are known by then
            asker = self._asker(past)
            asker = replace(asker, answerer=asker.answerer.heeding(check))
            return getattr(asker, task)(*args, **kwargs)

        try:
            return await self.engine.ask(self.others[task], call)
        finally:
            left.set()

    def _asker(self, past: Past) -> Remembering:
        live = self.live
        return Remembering(live.personalizer.run, live.answerer, past, index=live.personalizer.index)
