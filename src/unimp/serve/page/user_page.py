"""The page of one user: the history, what follows from it, and a form for every further task."""

from __future__ import annotations

import uuid
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse

from unimp.core.errors import ConfigError
from unimp.serve.connection import while_connected
from unimp.serve.page.answer_views import AnswerView, item_ids, view_of
from unimp.serve.page.forms import PREFIX, TaskForm, forms_at
from unimp.serve.page.rendering import FILES, is_partial, render, static_file
from unimp.serve.request_bodies import MOST_FIELDS, validated
from unimp.serve.routes import Client, Served
from unimp.serve.schemas import EventIn, Id, ItemOut
from unimp.serve.security import READ, WRITE_EVENTS, needs
from unimp.serve.service import Service
from unimp.serve.users import UserHistory
from unimp.tasks import TASKS
from unimp.tasks.requests import TaskRequest

SHOWN_HISTORY, LISTED_USERS = 24, 12

router = APIRouter(include_in_schema=False)
reading = Depends(needs(READ))


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Style, script, icon."""
    if name not in FILES:
        raise HTTPException(404)
    return Response(static_file(name), media_type=FILES[name], headers={"Cache-Control": "max-age=3600"})


@router.get("/", dependencies=[reading])
async def start(
    request: Request, service: Served, client: Client, user: Annotated[Id | None, Query()] = None
) -> Response:
    """Pick or create a user; then the user's page."""
    if user is not None:
        return await while_connected(request, UserPage(service, client, user).whole())
    latest = await service.in_store(service.store.latest_users, LISTED_USERS)
    examples = service.dataset.interactions.histories.user_ids[:LISTED_USERS].tolist()
    forgotten = await service.in_store(service.store.forgotten_among, examples)
    examples = [example for example in examples if example not in forgotten]
    tasks = service.personalizer.tasks
    return render("start", latest=latest, examples=examples, tasks=tasks, items=len(service.catalog))


@router.post("/met", dependencies=[Depends(needs(WRITE_EVENTS)), reading])
async def met(
    request: Request,
    service: Served,
    client: Client,
    user: Annotated[Id, Form()],
    item: Annotated[Id, Form()],
    rating: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """Add an event; the history and the answers follow."""
    values = {"event_id": uuid.uuid4().hex, "user": user, "item": item, "rating": rating or None}
    before = await service.history(TaskRequest(user=user))
    await service.add_events([EventIn.model_validate(values).event()])
    if not is_partial(request):
        return RedirectResponse("/?" + urlencode({"user": user}), 303)
    (added,) = await views(service, [item])
    shown = await UserPage(service, client, user).now(before)
    return render("_now", **(shown | {"added": added.title}))


@router.post(PREFIX + "/{command}", dependencies=[reading])
async def ask(request: Request, service: Served, client: Client, command: str) -> Response:
    """The answer to a form: the fragment for htmx, the whole page without it."""
    kind = next((task for task in TASKS.values() if task.command == command), None)
    if kind is None or (form := TaskForm.of(kind)).place not in {"form", "ticked"}:
        raise HTTPException(404)

    async def work(sent: FormData) -> Response:
        page = UserPage(service, client, validated(TaskRequest, {"user": sent.get("user", "")}).user or "")
        if form.place == "ticked" and len(set(sent.getlist(form.field))) < 2:
            raise ConfigError(f"{form.command}: tick at least two items")
        asked = form.values(sent)
        answer = await page.ask(form, asked | await form.uploads(sent))
        if is_partial(request):
            return render("_answer", user=page.user, answer=answer, form=form, ticked=ticked_form(service))
        return await page.whole(command=command, answer=answer, asked=asked)

    async with request.form(max_files=1, max_fields=MOST_FIELDS * 8) as sent:
        return await while_connected(request, work(sent))


class UserPage:
    """What one user's page shows."""

    def __init__(self, service: Service, client: str, user: str) -> None:
        self.service, self.client, self.user = service, client, user

    async def whole(self, **panel: Any) -> Response:
        """The whole page, with one answer filled in when scripts are off."""
        forms = forms_of(self.service)
        asking = [form for form in forms if form.place in {"form", "ticked"}]
        shown = {"command": None, "answer": None, "asked": {}} | await self.now() | panel
        return render("user", forms=asking, **shown)

    async def now(self, before: UserHistory | None = None) -> dict[str, Any]:
        """The history, newest first, and what follows from it; what is new since `before` is marked."""
        service = self.service
        history = await service.history(TaskRequest(user=self.user))
        latest = history.item_ids(service.catalog)[::-1]
        forms = forms_at("history", map(type, service.tasks.values()))
        answers = [(form, await self.ask(form, form.shown_counts(), history)) for form in forms]
        fresh: set[str] = set()
        if before is not None:
            earlier = [await self.ask(form, form.shown_counts(), before) for form in forms]
            known = {card.item.item for answer in earlier for card in answer.cards}
            fresh = {card.item.item for _, answer in answers for card in answer.cards} - known
        return {
            "user": self.user,
            "history": await views(service, latest[:SHOWN_HISTORY]),
            "known": len(latest),
            "answers": answers,
            "fresh": fresh,
            "added": None,
            "ticked": ticked_form(service),
        }

    async def ask(
        self, form: TaskForm, values: dict[str, Any], history: UserHistory | None = None
    ) -> AnswerView:
        """The answer to the form's request."""
        service, kind = self.service, form.task
        request = validated(kind.Request, {"user": self.user} | values)
        answer = await service.answer(kind, request, self.client, history)
        items = await views(service, item_ids(answer))
        return view_of(service.tasks[kind.name], answer, {item.item: item for item in items})


def forms_of(service: Service) -> list[TaskForm]:
    """The forms of the checkpoint's tasks."""
    return [TaskForm.of(type(task)) for task in service.tasks.values()]


def ticked_form(service: Service) -> TaskForm | None:
    """The task that the ticks on the cards are for."""
    return next(iter(forms_at("ticked", map(type, service.tasks.values()))), None)


async def views(service: Service, ids: list[str]) -> list[ItemOut]:
    return await service.in_store(service.items.views, ids)
