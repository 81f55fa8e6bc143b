"""Searches by a small file of 4,000 x 4,000 pixels, behind drawings that keep the model busy."""

from __future__ import annotations

import base64
import io

import httpx
from attacked import Facts, Server, counted, in_threads, main, status_of
from PIL import Image


def small_file(side: int = 4000) -> str:
    """A WebP of one colour, in base64."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "WEBP", lossless=True, quality=0, method=0)
    return base64.b64encode(file.getvalue()).decode()


def attack(server: Server) -> Facts:
    picture = small_file()
    drawing = {"history": [], "text": "bag", "count": 4}
    searching = {"history": [], "picture": picture}

    def post(path: str, document: dict[str, object]) -> str:
        return status_of(lambda: httpx.post(f"{server.url}/v1/{path}", json=document, timeout=120))

    calls = [lambda: post("imagine", drawing)] * 60 + [lambda: post("search", searching)] * 60
    answers = in_threads(calls)
    return {
        "bytes_of_a_picture": len(picture),
        "drawings": counted(answers[:60]),
        "searches": counted(answers[60:]),
    }


if __name__ == "__main__":
    main("60 drawings and 60 searches by a picture of 16 million pixels", attack)
