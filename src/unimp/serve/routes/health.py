"""Alive, ready, measured."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from unimp.serve.examples import READY, answered
from unimp.serve.routes import Served
from unimp.serve.schemas import Health
from unimp.serve.security import READ, needs

router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def alive() -> Health:
    """The process runs."""
    return Health(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=answered(READY))
async def ready(service: Served) -> Health:
    """The model and the store answer; 503 otherwise."""
    await service.in_store(service.store.ping)
    await service.ping_model()
    return Health(status="ready", tasks=list(service.personalizer.tasks), items=len(service.catalog))


@router.get("/metrics", dependencies=[Depends(needs(READ))], response_class=Response)
async def metrics(service: Served) -> Response:
    """For Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
