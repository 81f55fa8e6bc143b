"""`create_app`: the routes around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from unimp import __version__
from unimp.personalizer import Personalizer
from unimp.serve import errors
from unimp.serve.limits import BodyLimits, Rates
from unimp.serve.metrics import BytesHeld
from unimp.serve.middleware import Gate, Observed
from unimp.serve.page import forms, item_page, signing_in, user_page
from unimp.serve.routes import events, health, items, tasks, users
from unimp.serve.schemas import Problem
from unimp.serve.security import Keys
from unimp.serve.service import Service
from unimp.serve.settings import ServeSettings
from unimp.serve.store.store import Store
from unimp.serve.store_sync import StoreSync
from unimp.tasks import commands
from unimp.tasks.task import AnyTask

PROBLEM = {"application/problem+json": {"schema": Problem.model_json_schema()}}
ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": PROBLEM}
    for status, description in {
        400: "Not JSON, or not a form",
        401: "No valid API key",
        403: "The key has not the role, or a page of another site asks",
        404: "Unknown",
        408: "The body took too long to arrive",
        409: "An event id was used before for something else",
        413: "The body is too large",
        422: "Understood, and wrong: an unknown item, a value out of range",
        429: "More requests than the key may send; Retry-After says when",
        503: "Too busy, too slow, or the store is away; Retry-After says when",
    }.items()
}


def create_app(personalizer: Personalizer, store: Store, settings: ServeSettings | None = None) -> FastAPI:
    """An ASGI application; its lifespan starts the model's thread and closes the store."""
    settings = settings or ServeSettings()
    app = FastAPI(
        title="UniMP",
        version=__version__,
        description="Recommendation, search, ratings, explanations, selection and pictures from one model.",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # the redirect would name whatever host the request names
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked about at every request
        responses=ANSWERS,
    )
    bodies = BodyLimits(settings, task_paths(lambda task: task.Request.picture_field is not None))
    service = app.state.service = Service(personalizer, store, settings, bodies)
    app.state.sync = StoreSync(service)
    errors.install(app)
    tasks.add_task_routes(app.router)  # first: routes are tried in turn
    for router in (
        events.router,
        users.router,
        items.router,
        health.router,
        user_page.router,
        item_page.router,
        signing_in.router,
    ):
        app.include_router(router)
    rates = Rates(settings)
    keys = app.state.keys = Keys(store, settings, rates)
    app.add_middleware(
        Gate,
        settings=settings,
        keys=keys,
        rates=rates,
        bodies=bodies,
        turns=service.worker.turns,
        brief_paths=task_paths(lambda task: not task.by_likelihood),
    )
    service.metrics.watch_bytes(held_bytes(service, rates))
    app.add_middleware(Observed, metrics=service.metrics)
    return app


def task_paths(chosen: Callable[[type[AnyTask]], bool]) -> frozenset[str]:
    """Paths of those tasks, here and on the page."""
    return frozenset(
        f"{prefix}/{name}"
        for name, task in commands()
        if chosen(task)
        for prefix in (tasks.PREFIX, forms.PREFIX)
    )


def held_bytes(service: Service, rates: Rates) -> dict[str, BytesHeld]:
    """Everything whose size requests decide; `protocol.py` adds what connections hold."""
    settings, prefixes, decoding = service.settings, service.model.prefixes, service.decoding
    bodies, places = service.bodies, service.model.query_places
    return {
        "prefixes": BytesHeld(lambda: prefixes.bytes, settings.prefix_cache_bytes),
        "histories": BytesHeld(lambda: service.histories.bytes, settings.history_cache_bytes),
        "pictures": BytesHeld(lambda: service.items.pictures.num_bytes, settings.picture_cache_bytes),
        "questions": BytesHeld(lambda: service.worker.bytes, settings.waiting_bytes),
        "bodies": BytesHeld(lambda: bodies.held, bodies.max_bytes),
        "decoders": BytesHeld(lambda: decoding.bytes, decoding.max_bytes),
        "queries": BytesHeld(lambda: places.bytes, places.max_bytes),
        "rates": BytesHeld(lambda: rates.bytes, rates.max_bytes),
    }


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the model's thread and the store's sync; at the end stop them and close the store."""
    service: Service = app.state.service
    sync: StoreSync = app.state.sync
    service.worker.start()
    await sync.start()
    yield
    await sync.stop()
    await service.close()
