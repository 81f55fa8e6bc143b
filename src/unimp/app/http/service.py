"""`Service`: questions of the web answered by the model and the store. Routes and pages stand on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio
from PIL import Image

from unimp.answer import (
    Drawing,
    Explanation,
    Query,
    RankedItem,
    RatingForecast,
    Recommendation,
    SearchResult,
    Selection,
)
from unimp.app.http.batching import Desk, Engine
from unimp.app.http.items import Items
from unimp.app.http.metrics import Metrics
from unimp.app.http.people import Past, Remembering, together
from unimp.app.http.schemas import Asker, ImagineIn
from unimp.app.http.settings import ServeSettings
from unimp.app.store import Added, Event, Store
from unimp.data.histories import FloatArray
from unimp.errors import DataError
from unimp.personalizer import Personalizer

STORE_CALLS = 4
"""Blocking calls at once: fewer than the store's connections, so that no thread waits for one."""
DECODERS = 2
"""Pictures decoded at once."""

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ranking:
    """A question that many users may ask at once."""

    past: Past
    k: int
    exclude_history: bool = True
    text: str = ""


class Service:
    """One opened run and one store. Methods are coroutines; the model works in its engine's thread."""

    def __init__(self, personalizer: Personalizer, store: Store, settings: ServeSettings) -> None:
        self.personalizer, self.store, self.settings = personalizer, store, settings
        self.metrics = Metrics()
        self.engine = Engine(settings, self.metrics)
        self.dataset = personalizer.run.dataset
        self.catalog = self.dataset.catalog
        self.callers = anyio.CapacityLimiter(STORE_CALLS)
        self.decoders = anyio.CapacityLimiter(DECODERS)
        self.items = Items(self.catalog, store)
        self.recommending = Desk("recommend", self._recommend_all)
        self.searching = Desk("search", self._search_all)
        self.others = {
            name: Desk[Callable[[], Any], Any](name, lambda calls: [call() for call in calls], together=False)
            for name in ("search", "rate", "explain", "select", "imagine")
        }

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
        log = await self.in_store(self.store.user_log, asker.user, self.settings.history_events)
        return Past.of_user(self.dataset, asker.user, log)

    async def add_events(self, events: Sequence[Event]) -> Added:
        """Stored when this returns; DataError when an item is unknown or a rating is off the scale."""
        await self.in_store(self._check_events, events)
        added = await self.in_store(self.store.add_events, events)
        self.metrics.events.labels("accepted").inc(added.accepted)
        self.metrics.events.labels("duplicate").inc(added.duplicates)
        return added

    def _check_events(self, events: Sequence[Event]) -> None:
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
        """One call of the personalizer's own method."""
        call: Callable[[], Any] = partial(getattr(self._asker(past), task), *args, **kwargs)
        return await self.engine.ask(self.others[task], call)

    def _asker(self, past: Past) -> Remembering:
        return Remembering(self.personalizer.run, self.personalizer.answerer, past)

    def _recommend_all(self, questions: Sequence[Ranking]) -> list[Recommendation]:
        scores = self.personalizer.answerer.score(together([one.past for one in questions]))
        return [
            Recommendation(self._best(row, one), *self._read(one.past))
            for row, one in zip(scores, questions, strict=True)
        ]

    def _search_all(self, questions: Sequence[Ranking]) -> list[SearchResult]:
        queries = [Query(one.text.strip()) for one in questions]
        scores = self.personalizer.answerer.search(together([one.past for one in questions]), queries)
        return [
            SearchResult(self._best(row, one), one.text.strip(), False, *self._read(one.past))
            for row, one in zip(scores, questions, strict=True)
        ]

    def _best(self, scores: FloatArray, one: Ranking) -> tuple[RankedItem, ...]:
        return self._asker(one.past).best(scores, one.k, exclude_history=one.exclude_history)

    def _read(self, past: Past) -> tuple[tuple[str, ...], bool]:
        """The history, and whether it was a cold start."""
        return tuple(past.item_ids(self.catalog)), len(past.item_rows) == 0
