"""A key typed into the page is kept in a cookie that scripts and other sites cannot use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from unimp.serve.page.rendering import render
from unimp.serve.security import COOKIE, Keys, client_address

router = APIRouter(include_in_schema=False)


@router.get("/sign-in")
async def form() -> Response:
    return render("sign_in", detail=None)


@router.post("/sign-in")
async def sign_in(request: Request, key: Annotated[str, Form(max_length=256)]) -> Response:
    """Back to the start with the cookie, or the form again."""
    keys: Keys = request.app.state.keys
    address = client_address(request, keys.settings.trusted_proxies)
    if await keys.find(key.strip(), address) is None:
        return render("sign_in", 401, detail="unknown API key")
    response = RedirectResponse("/", 303)
    secure = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
    response.set_cookie(COOKIE, key.strip(), httponly=True, samesite="strict", secure=secure)
    return response


@router.post("/sign-out")
async def sign_out() -> Response:
    """Forget the key in this browser."""
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
