"""Questions made at random out of right ones: whatever comes, the answer is no server error."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.site import Site

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
RIGHT: dict[str, dict[str, Any]] = {
    "recommend": {"user": "a", "k": 3, "exclude_history": True},
    "search": {"user": "a", "text": "bag", "k": 3, "picture": None},
    "rate": {"user": "a", "item": "P00003"},
    "select": {"user": "a", "candidates": ["P00003", "P00007"], "count": 1},
    "imagine": {"user": "a", "text": "x", "attributes": {}, "count": 1, "seed": 0, "top_p": 0.9},
    "events": {"event_id": "1", "user": "a", "item": "P00003", "rating": 4, "time": 5, "kind": "buy"},
    "events/batch": {"events": []},
}


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, Any]:
    """A right question with one or two fields replaced, or something else entirely."""
    path = draw(st.sampled_from(sorted(RIGHT)))
    if draw(st.integers(0, 9)) == 0:
        return path, draw(VALUES)
    fields = draw(st.lists(st.sampled_from(sorted(RIGHT[path])), min_size=1, max_size=2))
    return path, RIGHT[path] | {field: draw(VALUES) for field in fields}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(question=spoiled())
def test_no_question_is_a_server_error(site: Site, question: tuple[str, Any]) -> None:
    path, document = question
    try:
        response = site.post(f"/v1/{path}", document)
    except ValueError:  # not JSON to begin with: NaN, or half a character
        return
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"


def test_no_form_of_the_page_is_a_server_error(site: Site) -> None:
    for path in ("/met", "/ask/search", "/ask/select", "/ask/generate-image", "/mattered"):
        for form in (
            {},
            {"user": ""},
            {"user": "a", "item": "\x00", "text": "\x01", "candidates": ["", ""], "seed": "1e400"},
            {"user": "a" * 600, "item": "nope", "rating": "NaN"},
            {"user": "a", "item": "nope", "rating": "inf", "text": "x" * 1600, "candidates": ["P00003"] * 60},
        ):
            refused = site.post(path, data=form, headers={"Accept": "text/html"})
            assert refused.status_code == 422, (path, form)
            assert 'class="problem" role="alert"' in refused.text
