"""A key typed into the page is kept in a cookie that scripts and other sites cannot use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from unimp.serve.page.rendering import render
from unimp.serve.routes import Served
from unimp.serve.security import COOKIE

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def form() -> Response:
    return render("sign_in", detail=None)


@router.post("/sign-in")
async def sign_in(request: Request, service: Served, key: Annotated[str, Form(max_length=256)]) -> Response:
    """Back to the start with the cookie, or the form again."""
    if await service.in_store(service.store.key, key.strip()) is None:
        return render("sign_in", 401, detail="unknown API key")
    response = RedirectResponse("/", 303)
    secure = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
    response.set_cookie(COOKIE, key.strip(), httponly=True, samesite="strict", secure=secure)
    return response
