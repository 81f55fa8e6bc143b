"""What a person can do: pick a user, search, compare, draw, add an event."""

from __future__ import annotations

import uuid
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, File, Form, HTTPException, Query, Request, Response, UploadFile
from starlette.responses import RedirectResponse

from unimp.core.errors import ConfigError
from unimp.serve.connection import while_connected
from unimp.serve.page.rendering import FILES, is_partial, render, static_file
from unimp.serve.pictures import png_base64
from unimp.serve.routes import Served
from unimp.serve.schemas import (
    EventIn,
    Id,
    ImagineIn,
    ItemOut,
    RecommendIn,
    SearchIn,
    SelectIn,
    TaskRequest,
    Words,
)
from unimp.serve.security import READ, WRITE_EVENTS, needs
from unimp.serve.service import Service
from unimp.serve.users import UserHistory

SHOWN, SHOWN_HISTORY, LISTED_USERS, DRAWN = 12, 24, 12, 4

router = APIRouter(include_in_schema=False)
reading = Depends(needs(READ))


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Style, script, icon."""
    if name not in FILES:
        raise HTTPException(404)
    return Response(static_file(name), media_type=FILES[name], headers={"Cache-Control": "max-age=3600"})


@router.get("/", dependencies=[reading])
async def start(request: Request, service: Served, user: Annotated[Id | None, Query()] = None) -> Response:
    """Pick or create a user; then the user's page."""
    if user is not None:
        return await while_connected(request, user_page(service, user))
    latest = await service.in_store(service.store.latest_users, LISTED_USERS)
    examples = service.dataset.interactions.histories.user_ids[:LISTED_USERS].tolist()
    forgotten = await service.in_store(service.store.forgotten_among, examples)
    examples = [example for example in examples if example not in forgotten]
    tasks = service.personalizer.tasks
    return render("start", latest=latest, examples=examples, tasks=tasks, items=len(service.catalog))


async def user_page(service: Service, user: str, **panel: Any) -> Response:
    """The whole page, with one panel filled when scripts are off."""
    shown = await now(service, user)
    return render("user", tasks=service.personalizer.tasks, **({"panel": None} | shown | panel))


async def now(service: Service, user: str, before: UserHistory | None = None) -> dict[str, Any]:
    """The history, newest first, and what follows from it; what did not follow from `before` is marked."""
    history = await service.history(TaskRequest(user=user))
    latest = history.item_ids(service.catalog)[::-1]
    events = await views(service, latest[:SHOWN_HISTORY])
    recommended = await views(service, await best(service, user, history))
    fresh: set[str] = set()
    if before is not None:
        fresh = {one.item for one in recommended} - set(await best(service, user, before))
    return {
        "user": user,
        "history": events,
        "known": len(latest),
        "recommended": recommended,
        "fresh": fresh,
        "added": None,
    }


async def best(service: Service, user: str, history: UserHistory) -> list[str]:
    """Ids of what is recommended; none by a checkpoint without that task."""
    if "recommendation" not in service.personalizer.tasks:
        return []
    answer = await service.answer("recommend", RecommendIn(user=user, k=SHOWN), history=history)
    return [item.item_id for item in answer.items]


async def views(service: Service, item_ids: list[str]) -> list[ItemOut]:
    return await service.in_store(service.items.views, item_ids)


@router.post("/met", dependencies=[Depends(needs(WRITE_EVENTS)), reading])
async def met(
    request: Request,
    service: Served,
    user: Annotated[Id, Form()],
    item: Annotated[Id, Form()],
    rating: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """Add an event; the history and the recommendations follow."""
    values = {"event_id": uuid.uuid4().hex, "user": user, "item": item, "rating": rating or None}
    before = await service.history(TaskRequest(user=user))
    await service.add_events([EventIn.model_validate(values).event()])
    if is_partial(request):
        (added,) = await views(service, [item])
        return render("_now", **(await now(service, user, before) | {"added": added.title}))
    return RedirectResponse("/?" + urlencode({"user": user}), 303)


@router.post("/found", dependencies=[reading])
async def found(
    request: Request,
    service: Served,
    user: Annotated[Id, Form()],
    text: Annotated[Words, Form()] = "",
    picture: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Search in words, by picture, or both."""
    data = await picture.read() if picture is not None else b""
    if not text.strip() and not data:
        raise ConfigError("query: empty; give words, a picture, or both")

    async def work() -> Response:
        question = SearchIn(user=user, text=text, k=SHOWN, picture="" if data else None)
        answer = await service.answer("search", question, picture=data or None)
        items = await views(service, [item.item_id for item in answer.items])
        return await panel(request, service, user, "found", found=items, asked=text, by_picture=bool(data))

    return await while_connected(request, work())


@router.post("/chosen", dependencies=[reading])
async def chosen(
    request: Request,
    service: Served,
    user: Annotated[Id, Form()],
    candidates: Annotated[list[Id] | None, Form(max_length=50)] = None,
) -> Response:
    """Which of the ticked items the user would choose."""
    ids = list(dict.fromkeys(candidates or []))
    if len(ids) < 2:
        raise ConfigError("compare: tick at least two items")

    async def work() -> Response:
        answer = await service.answer("select", SelectIn(user=user, candidates=ids, count=1))
        items = await views(service, ids)
        shown = [
            (item, one.probability, one.chosen) for item, one in zip(items, answer.candidates, strict=True)
        ]
        shown.sort(key=lambda entry: -entry[1])
        return await panel(request, service, user, "chosen", candidates=shown)

    return await while_connected(request, work())


@router.post("/drawn", dependencies=[reading])
async def drawn(
    request: Request,
    service: Served,
    user: Annotated[Id, Form()],
    text: Annotated[Words, Form()] = "",
    seed: Annotated[int, Form(ge=0, lt=2**31)] = 0,
) -> Response:
    """Pictures of what the words ask for."""

    async def work() -> Response:
        wish = ImagineIn(user=user, text=text, seed=seed, count=DRAWN)
        answer = await service.answer("imagine", wish)
        pictures = [png_base64(picture) for picture in answer.pictures]
        return await panel(request, service, user, "drawn", pictures=pictures, wish=text)

    return await while_connected(request, work())


async def panel(request: Request, service: Service, user: str, name: str, **context: Any) -> Response:
    """The fragment for htmx, the whole page without it."""
    if is_partial(request):
        return render(f"_{name}", user=user, **context)
    return await user_page(service, user, panel=name, **context)
