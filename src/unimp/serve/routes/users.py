"""What is known of a user, and forgetting it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from unimp.serve.examples import FORGOTTEN, KNOWN, answered
from unimp.serve.routes import Served
from unimp.serve.schemas import EventOut, Forgotten, HistoryOut
from unimp.serve.security import ADMIN, READ, needs
from unimp.tasks.requests import ID_PATTERN

router = APIRouter(prefix="/v1/users", tags=["users"])
UserId = Annotated[str, Path(min_length=1, max_length=128, pattern=ID_PATTERN, examples=["U00001"])]


@router.get("/{user:path}/history", dependencies=[Depends(needs(READ))], responses=answered(KNOWN))
async def history(
    user: UserId, service: Served, limit: Annotated[int, Query(ge=1, le=1000)] = 500
) -> HistoryOut:
    """The data's history and the latest stored events. A user nobody knows has empty ones."""
    log = await service.in_store(service.store.user_log, user, limit)
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
    return HistoryOut(user=user, data=data, events=events, forgotten=log.forgotten)


@router.delete("/{user:path}/history", dependencies=[Depends(needs(ADMIN))], responses=answered(FORGOTTEN))
async def forget(user: UserId, service: Served) -> Forgotten:
    """The right to be forgotten: events are deleted, and the data's history is not used any more."""
    return Forgotten(user=user, events_deleted=await service.forget(user))
