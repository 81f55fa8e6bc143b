"""Searches by a small file of 4,000 x 4,000 pixels, behind drawings that keep the model busy."""

from __future__ import annotations

import base64
import io

from attacked import Facts, Server, counted, in_threads, main, post, status_of
from PIL import Image


def small_file(kind: str) -> str:
    """A picture of one colour, in base64: a WebP, or a PNG with transparent pixels."""
    file = io.BytesIO()
    if kind == "WEBP":
        Image.new("RGB", (4000, 4000), "red").save(file, kind, lossless=True, quality=0, method=0)
    else:
        Image.new("RGBA", (4000, 4000), (255, 0, 0, 9)).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def attack(server: Server) -> Facts:
    pictures = [small_file(kind) for kind in ("WEBP", "PNG")]
    drawing = {"history": [], "text": "bag", "count": 4}

    def asked(path: str, document: dict[str, object]) -> str:
        return status_of(lambda: post(f"{server.url}/v1/{path}", document, 120))

    calls = [lambda: asked("imagine", drawing)] * 60 + [
        lambda picture=picture: asked("search", {"history": [], "picture": picture})  # type: ignore[misc]
        for picture in pictures * 30
    ]
    answers = in_threads(calls)
    return {
        "bytes_of_a_picture": [len(picture) for picture in pictures],
        "drawings": counted(answers[:60]),
        "searches_by_webp": counted(answers[60::2]),
        "searches_by_png": counted(answers[61::2]),
    }


if __name__ == "__main__":
    main("60 drawings and 60 searches by a picture of 16 million pixels", attack)
