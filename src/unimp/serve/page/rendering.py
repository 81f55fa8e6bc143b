"""Templates: everything from outside is escaped, a name that is missing is an error."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

FILES = {
    "style.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""All that is served from disk; a request names one of these or gets 404."""


SHORT = 24
"""Most characters of a user's id that are shown."""
REPLACED_WHOLE = frozenset({"now"})
"""Parts of the page that an answer takes the place of; a problem is shown elsewhere, or they were lost."""


@cache
def environment() -> Environment:
    loader = PackageLoader("unimp.serve.page", "templates")
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"short": short, "spaced": spaced}
    return made


def short(name: str) -> str:
    """A user's id as a line can hold it."""
    return name if len(name) <= SHORT else name[: SHORT // 2] + "…" + name[-4:]


def spaced(name: str) -> str:
    """An attribute's name in words."""
    return name.replace("_", " ")


@cache
def static_file(name: str) -> bytes:
    """One of FILES."""
    assert name in FILES
    return (resources.files("unimp.serve.page") / "static" / name).read_bytes()


def render(name: str, status: int = 200, **context: Any) -> HTMLResponse:
    """The template `name`."""
    return HTMLResponse(environment().get_template(f"{name}.html.jinja").render(**context), status)


def is_partial(request: Request) -> bool:
    """True when htmx asks: it wants the fragment alone."""
    return request.headers.get("hx-request") == "true"


def problem_page(request: Request, status: int, detail: str) -> HTMLResponse | None:
    """The problem for people; None when a program asked."""
    if request.url.path.startswith("/v1/"):
        return None
    if is_partial(request):
        response = render("_problem", status, detail=detail)
        if request.headers.get("hx-target") in REPLACED_WHOLE:
            response.headers.update({"HX-Retarget": "#problem", "HX-Reswap": "innerHTML"})
        return response
    if "text/html" in request.headers.get("accept", ""):
        return render("problem", status, title=HTTPStatus(status).phrase, detail=detail)
    return None
