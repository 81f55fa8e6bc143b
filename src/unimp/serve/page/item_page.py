"""The page of one item: what it is, what the tasks say of it for one user, and what mattered."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response

from unimp.serve.connection import while_connected
from unimp.serve.page.attribution_panel import can_attribute, mattered
from unimp.serve.page.forms import TaskForm, forms_at
from unimp.serve.page.rendering import is_partial, render
from unimp.serve.page.user_page import UserPage
from unimp.serve.routes import Client, Served
from unimp.serve.schemas import Id
from unimp.serve.security import READ, needs
from unimp.serve.service import Service
from unimp.tasks.requests import TaskRequest

router = APIRouter(include_in_schema=False, dependencies=[Depends(needs(READ))])


@router.get("/item")
async def item_page(
    request: Request,
    service: Served,
    client: Client,
    user: Annotated[Id, Query()],
    item: Annotated[Id, Query()],
) -> Response:
    """One item in one user's eyes."""
    return await while_connected(request, whole_page(service, client, user, item))


@router.post("/mattered")
async def what_mattered(
    request: Request,
    service: Served,
    client: Client,
    user: Annotated[Id, Form()],
    item: Annotated[Id, Form()],
) -> Response:
    """What of the history speaks for the item; computed only when a person asks for it."""

    async def work() -> Response:
        history = await service.history(TaskRequest(user=user))
        found = await mattered(service, history, item)
        if is_partial(request):
            return render("_mattered", user=user, **found)
        return await whole_page(service, client, user, item, panel="mattered", **found)

    return await while_connected(request, work())


async def whole_page(service: Service, client: str, user: str, item: str, **panel: Any) -> Response:
    """The page, with the panel filled when scripts are off."""
    view = await service.in_store(service.items.view, item)
    if view is None:
        raise HTTPException(404, f'unknown item "{item}"; check the id')
    forms: list[TaskForm] = []
    if view.rankable:
        forms = forms_at("item", map(type, service.tasks.values()))
    page = UserPage(service, client, user)
    answers = await asyncio.gather(*(page.ask(form, {form.field: item}) for form in forms))
    scale = service.dataset.interactions.rating_scale
    explains = view.rankable and can_attribute(service.model)
    shown: dict[str, Any] = {
        "panel": None,
        "explains": explains,
        "ticked": None,
        "answers": list(zip(forms, answers, strict=True)),
    }
    levels = scale.levels if scale else None
    return render("item", user=user, item=view, scale=levels, **(shown | panel))
