"""Items: look at them, upsert them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response

from unimp.serve.examples import ITEM, REMOVED, answered
from unimp.serve.pictures import check_upload, from_base64
from unimp.serve.routes import Served
from unimp.serve.schemas import ItemIn, ItemOut, RemovedItem
from unimp.serve.security import ADMIN, READ, needs
from unimp.tasks.requests import ID_PATTERN

router = APIRouter(prefix="/v1/items", tags=["items"])
ItemId = Annotated[str, Path(min_length=1, max_length=128, pattern=ID_PATTERN, examples=["P00003"])]
PictureVersion = Annotated[str, Query(max_length=64)]
PICTURE_ANSWERS = {200: {"content": {"image/png": {}}}, 404: {"description": "Unknown, or no picture"}}


def unknown(item: str) -> HTTPException:
    return HTTPException(404, f'unknown item "{item}"; check the id, or import the item first')


@router.get(
    "/{item:path}/picture",
    dependencies=[Depends(needs(READ))],
    response_class=Response,
    responses=PICTURE_ANSWERS,  # type: ignore[arg-type]
)
async def get_picture(item: ItemId, service: Served, v: PictureVersion = "") -> Response:
    """The item's picture as PNG, no larger than 320 pixels. `v`: its version, for browsers' caches."""
    picture = await service.item_picture(item, v)
    if picture is None:
        raise HTTPException(404, f'item "{item}" is unknown, or has no picture')
    age = "private, max-age=86400" if v and v == picture.version else "private, no-cache"
    return Response(picture.png, media_type="image/png", headers={"Cache-Control": age})


@router.get("/{item:path}", dependencies=[Depends(needs(READ))], responses=answered(ITEM))
async def get_item(item: ItemId, service: Served) -> ItemOut:
    """The item as it was last upserted, else as the catalogue has it."""
    view = await service.in_store(service.items.view, item)
    if view is None:
        raise unknown(item)
    return view


@router.put("/{item:path}", dependencies=[Depends(needs(ADMIN))], responses=answered(ITEM))
async def put_item(item: ItemId, content: ItemIn, service: Served) -> ItemOut:
    """Insert or replace an item's attributes; its picture stays unless another is given.

    When this answers, the item is stored, and recommended and found by its content.
    """
    if item.endswith("/picture"):
        raise HTTPException(422, f'item "{item}": an id must not end in /picture; choose another')
    picture = None
    if content.picture is not None:
        picture = from_base64(content.picture, service.settings)
        check_upload(picture, service.settings, f'item "{item}"')
    await service.put_item(item, content.attributes, picture)
    view = await service.in_store(service.items.view, item)
    if view is None:
        raise unknown(item)
    return view


@router.delete("/{item:path}", dependencies=[Depends(needs(ADMIN))], responses=answered(REMOVED))
async def remove_item(item: ItemId, service: Served) -> RemovedItem:
    """Answer with the item no more, from now on and on all servers; its content is deleted from the store.

    An upsert brings it back.
    """
    if await service.in_store(service.items.view, item) is None:
        raise unknown(item)
    await service.remove_item(item)
    return RemovedItem(item=item, removed=True)
