"""Pictures that would unpack to very much are refused before they do, with a word on why."""

from __future__ import annotations

import base64
import tracemalloc
from collections.abc import Callable

import pytest

from tests import hostile
from tests.serve.site import Site
from unimp.core.errors import DataError
from unimp.data.pictures import open_picture
from unimp.serve.pictures import check_upload
from unimp.serve.settings import ServeSettings

REFUSED: list[tuple[Callable[[], bytes], str]] = [
    (lambda: hostile.png(50_000, 50_000, b"no matter"), "far more than the 16,000,000 pixels"),
    (lambda: hostile.png(12_000, 12_000, b"no matter"), "12000x12000 pixels, at most 16,000,000"),
    (hostile.wide_gif, "far more than the 16,000,000 pixels"),
    (hostile.wide_webp, "far more than the 16,000,000 pixels"),
    (lambda: hostile.text_bomb(64), "not a picture that can be read"),
    (lambda: hostile.profile_bomb(64), "not a picture that can be read"),
    (lambda: hostile.scan_bomb(200, side=64), "more than 100 scans"),
    (lambda: hostile.scan_bomb(50, side=3000), "scans of 3000x3000 pixels"),
    (lambda: hostile.png(1, 16_000_000, b"no matter"), "1x16000000 pixels, at most 20,000 a side"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED)
def test_what_unpacks_to_very_much_is_refused(make: Callable[[], bytes], reason: str) -> None:
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=reason):
            check_upload(data, ServeSettings())
        assert tracemalloc.get_traced_memory()[1] < 8 * hostile.MEBIBYTE
    finally:
        tracemalloc.stop()


def test_what_is_not_asked_for_is_not_unpacked() -> None:
    """Frames after the first, and pixels after the last."""
    for data in (hostile.endless_gif(2000), hostile.pixel_bomb(64)):
        tracemalloc.start()
        try:
            check_upload(data, ServeSettings())
            assert max(open_picture(data, "picture").size) <= 100
            assert tracemalloc.get_traced_memory()[1] < 8 * hostile.MEBIBYTE
        finally:
            tracemalloc.stop()


def test_a_refused_picture_is_a_problem_of_the_client(site: Site) -> None:
    sent = base64.b64encode(hostile.png(50_000, 50_000, b"")).decode()
    for response in (
        site.post("/v1/search", {"user": "a", "picture": sent}),
        site.put("/v1/items/x", {"attributes": {}, "picture": sent}),
    ):
        assert "pixels" in site.refused(422, response)
