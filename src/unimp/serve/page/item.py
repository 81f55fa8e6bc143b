"""The page of one item: what it is, how the user would rate it, why, and what mattered."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response

from unimp.serve.connection import while_connected
from unimp.serve.page.mattered import mattered
from unimp.serve.page.rendering import is_partial, render
from unimp.serve.routes import Served
from unimp.serve.schemas import ExplainIn, Id, ItemOut, RateIn, TaskRequest
from unimp.serve.security import READ, needs
from unimp.serve.service import Service

router = APIRouter(include_in_schema=False, dependencies=[Depends(needs(READ))])


@router.get("/item")
async def item_page(
    request: Request, service: Served, user: Annotated[Id, Query()], item: Annotated[Id, Query()]
) -> Response:
    """One item in one user's eyes."""
    return await while_connected(request, whole_page(service, user, item))


@router.post("/mattered")
async def what_mattered(
    request: Request, service: Served, user: Annotated[Id, Form()], item: Annotated[Id, Form()]
) -> Response:
    """What of the history speaks for the item; computed only when asked for."""

    async def work() -> Response:
        history = await service.history(TaskRequest(user=user))
        found = await mattered(service, history, item)
        if is_partial(request):
            return render("_mattered", user=user, **found)
        return await whole_page(service, user, item, panel="mattered", **found)

    return await while_connected(request, work())


async def whole_page(service: Service, user: str, item: str, **panel: Any) -> Response:
    """The page, with the panel filled when scripts are off."""
    view = await service.in_store(service.items.view, item)
    if view is None:
        raise HTTPException(404, f'unknown item "{item}"; check the id')
    answers = await judge(service, user, view)
    scale = service.dataset.interactions.rating_scale
    explains = view.rankable and "recommendation" in service.personalizer.tasks
    levels = scale.levels if scale else None
    shown = {"panel": None, "explains": explains} | answers | panel
    return render("item", user=user, item=view, scale=levels, **shown)


async def judge(service: Service, user: str, item: ItemOut) -> dict[str, Any]:
    """Forecast and explanation, as far as the checkpoint has the tasks."""
    answers: dict[str, Any] = {"forecast": None, "explanation": None, "levels": []}
    if not item.rankable:
        return answers
    tasks, wanted = service.personalizer.tasks, {}
    if "rating" in tasks:
        wanted["forecast"] = service.answer("rate", RateIn(user=user, item=item.item))
    if "explanation" in tasks:
        wanted["explanation"] = service.answer("explain", ExplainIn(user=user, item=item.item))
    answers |= dict(zip(wanted, await asyncio.gather(*wanted.values()), strict=True))
    if (forecast := answers["forecast"]) is not None:
        answers["levels"] = list(zip(forecast.levels, forecast.probabilities, strict=True))
    return answers
