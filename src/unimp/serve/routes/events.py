"""Events in."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from unimp.serve.examples import STORED, answered
from unimp.serve.routes import Served
from unimp.serve.schemas import EventIn, EventsIn, Stored
from unimp.serve.security import WRITE_EVENTS, needs

router = APIRouter(prefix="/v1/events", tags=["events"], dependencies=[Depends(needs(WRITE_EVENTS))])


@router.post("", responses=answered(STORED))
async def add_event(event: EventIn, service: Served) -> Stored:
    """Store one event. It is on disk when this answers; sent again, it counts once."""
    return Stored(**vars(await service.add_events([event.event()])))


@router.post("/batch", responses=answered(STORED))
async def add_events(batch: EventsIn, service: Served) -> Stored:
    """Store many events, all or none."""
    return Stored(**vars(await service.add_events([event.event() for event in batch.events])))
