"""The program that decodes strangers' pictures: `python -m unimp.serve.decoder_program`, see `decoding.py`.

It reads one request after the other from its standard input and writes an answer for each: a line of JSON,
then as many bytes as the line says. It loads no model, writes no file and has no key: what a broken picture
does to a decoder ends here.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from unimp.core.errors import DataError
from unimp.core.images import png_bytes
from unimp.data.pictures import fit_pixels, open_picture

M_MMAP_THRESHOLD, MAPPED_BYTES = -3, 2**20
"""glibc's `mallopt`: larger blocks are given back to the system as soon as they are freed."""
LESS_URGENT = 5
"""Added to the nice value: where cores are scarce the server itself, which has others to answer, gets
three times as much of one."""
MOST_MEMORY = 2**30
"""Bytes of address space beside the program's own: the largest picture of a catalogue takes 0.8 GB."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this program
    os.nice(LESS_URGENT)
    give_memory_back()
    bound_memory()
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        asked = json.loads(line)
        data = source.read(asked["size"])
        try:
            reply(answers, decode(data, asked))
        except DataError as error:
            reply(answers, b"", str(error))
        except MemoryError:
            reply(answers, b"", f"{asked['place']}: takes too much memory to decode; make it smaller")
        gc.collect()  # Pillow's pictures stand in cycles, and the next one needs the memory


def decode(data: bytes, asked: dict[str, Any]) -> bytes:
    """The pixels at the size that is asked for, or a PNG file of at most so many pixels a side."""
    image = open_picture(data, asked["place"])
    if "longest" in asked:
        image.thumbnail((asked["longest"], asked["longest"]))
        return png_bytes(image)
    return fit_pixels(image, asked["height"], asked["width"]).tobytes()


def reply(answers: BinaryIO, data: bytes, error: str | None = None) -> None:
    answers.write(json.dumps({"error": error, "size": len(data)}).encode() + b"\n" + data)
    answers.flush()


def give_memory_back() -> None:
    """Or blocks of one picture are kept beside those of the next, and the program holds both."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def bound_memory() -> None:
    """Where the system says how large the program is."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
