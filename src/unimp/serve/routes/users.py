"""What is known of a user, and forgetting it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query

from unimp.serve.examples import FORGOTTEN, KNOWN, USER_DATA, answered
from unimp.serve.routes import Client, Served
from unimp.serve.schemas import EventOut, Forgotten, HistoryOut, UserData
from unimp.serve.security import ADMIN, READ, needs
from unimp.serve.service import Service
from unimp.serve.store.records import UserLog
from unimp.serve.store.store import digest
from unimp.tasks.requests import ID_PATTERN

router = APIRouter(prefix="/v1/users", tags=["users"])
UserId = Annotated[str, Path(min_length=1, max_length=128, pattern=ID_PATTERN, examples=["U00001"])]

MOST_LISTED = 10_000
"""Events that are listed of one user."""


@router.get("/{user:path}/history", dependencies=[Depends(needs(READ))], responses=answered(KNOWN))
async def history(
    user: UserId, service: Served, limit: Annotated[int, Query(ge=1, le=1000)] = 500
) -> HistoryOut:
    """The data's history and the latest stored events. A user nobody knows has empty ones."""
    log = await service.in_store(service.store.user_log, user, limit)
    return HistoryOut(**known_of(service, user, log))


@router.get("/{user:path}/data", dependencies=[Depends(needs(ADMIN))], responses=answered(USER_DATA))
async def user_data(user: UserId, service: Served) -> UserData:
    """Everything that is kept of a user, for whoever asks what is known of them."""
    log = await service.in_store(service.store.user_log, user, MOST_LISTED + 1)
    more = len(log.events) > MOST_LISTED
    known = known_of(service, user, replace(log, events=log.events[-MOST_LISTED:]))
    return UserData(**known, more=more, user_hash=digest(user))


def known_of(service: Service, user: str, log: UserLog) -> dict[str, Any]:
    """The fields of a history."""
    position = service.dataset.interactions.user_position.get(user)
    rows = []
    if position is not None and not log.forgotten:
        rows = service.dataset.interactions.histories.items_of(position).tolist()
    events = [
        EventOut(
            event_id=event.event_id,
            item=event.item_id,
            time=event.time,
            rating=event.rating,
            kind=event.kind,
            read=event.item_id in service.catalog.row_of,
        )
        for event in log.events
    ]
    data = [service.catalog.item_ids[row] for row in rows]
    return {"user": user, "data": data, "events": events, "forgotten": log.forgotten}


@router.delete("/{user:path}/history", dependencies=[Depends(needs(ADMIN))], responses=answered(FORGOTTEN))
async def forget(user: UserId, service: Served, client: Client) -> Forgotten:
    """The right to be forgotten: events are deleted, and the data's history is not used any more."""
    return Forgotten(user=user, events_deleted=await service.forget(user, client))
