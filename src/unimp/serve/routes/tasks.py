"""The six tasks as questions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from unimp.answer import Explanation, RatingForecast, Recommendation, SearchResult, Selection
from unimp.serve.connection import while_connected
from unimp.serve.examples import (
    DRAWN,
    EXPLAINED,
    FOUND,
    RATED,
    RECOMMENDED,
    SELECTED,
    answered,
)
from unimp.serve.examples import SEARCH_FORM as FORM_EXAMPLE
from unimp.serve.pictures import from_base64, png_base64
from unimp.serve.routes import Served
from unimp.serve.schemas import (
    DrawingOut,
    ExplainIn,
    ImagineIn,
    RateIn,
    RecommendIn,
    SearchIn,
    SelectIn,
    TaskRequest,
)
from unimp.serve.security import READ, needs
from unimp.serve.service import Service

router = APIRouter(prefix="/v1", tags=["tasks"], dependencies=[Depends(needs(READ))])

FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}
SEARCH_FORM = {
    "type": "object",
    "properties": {
        "user": {"type": "string"},
        "history": {"type": "string", "description": "Item ids, oldest first, separated by commas."},
        "text": {"type": "string"},
        "k": {"type": "integer"},
        "picture": {"type": "string", "format": "binary"},
    },
}
SEARCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": SearchIn.model_json_schema()},
            "multipart/form-data": {"schema": SEARCH_FORM, "example": FORM_EXAMPLE},
        },
    }
}


@router.post("/recommend", responses=answered(RECOMMENDED))
async def recommend(question: RecommendIn, request: Request, service: Served) -> Recommendation:
    """The next items."""
    reply: Recommendation = await answer(service, request, "recommend", question)
    return reply


@router.post("/search", openapi_extra=SEARCH_BODY, responses=answered(FOUND))
async def search(request: Request, service: Served) -> SearchResult:
    """Items that the words, the picture, or both ask for, in this user's taste. JSON, or a form."""
    question, upload = await read_search(request)
    if upload is None and question.picture is not None:
        upload = from_base64(question.picture, service.settings)
    reply: SearchResult = await answer(service, request, "search", question, upload)
    return reply


async def read_search(request: Request) -> tuple[SearchIn, bytes | None]:
    """The question and, from a form, the uploaded picture."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind not in FORMS:
            return SearchIn.model_validate_json(await request.body()), None
        async with request.form(max_files=1, max_fields=8) as form:
            return await from_form(form)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


async def from_form(form: FormData) -> tuple[SearchIn, bytes | None]:
    upload = form.get("picture")
    data = await upload.read() if isinstance(upload, UploadFile) else None
    values: dict[str, Any] = {
        name: value for name, value in form.items() if isinstance(value, str) and name != "picture"
    }
    if "history" in values:
        values["history"] = [part.strip() for part in values["history"].split(",") if part.strip()]
    return SearchIn.model_validate(values | ({"picture": ""} if data else {})), data or None


@router.post("/rate", responses=answered(RATED))
async def rate(question: RateIn, request: Request, service: Served) -> RatingForecast:
    """The rating that the user is expected to give."""
    reply: RatingForecast = await answer(service, request, "rate", question)
    return reply


@router.post("/explain", responses=answered(EXPLAINED))
async def explain(question: ExplainIn, request: Request, service: Served) -> Explanation:
    """Why the item suits the user, in words."""
    reply: Explanation = await answer(service, request, "explain", question)
    return reply


@router.post("/select", responses=answered(SELECTED))
async def select(question: SelectIn, request: Request, service: Served) -> Selection:
    """Which of the candidates the user would choose."""
    reply: Selection = await answer(service, request, "select", question)
    return reply


@router.post("/imagine", responses=answered(DRAWN))
async def imagine(question: ImagineIn, request: Request, service: Served) -> DrawingOut:
    """Pictures of what the words ask for, in the user's taste."""
    drawing = await answer(service, request, "imagine", question)
    values = asdict(drawing) | {"pictures": [png_base64(picture) for picture in drawing.pictures]}
    return DrawingOut(**values)


async def answer(
    service: Service, request: Request, task: str, question: TaskRequest, picture: bytes | None = None
) -> Any:
    """The answer, unless the client leaves before."""
    return await while_connected(request, service.answer(task, question, picture=picture))
