"""`unimp` with a clock that is wrong by so many seconds: `skewed.py SECONDS serve RUN …`."""

from __future__ import annotations

import sys
import time

from unimp.cli.main import main

right = time.time


def wrong() -> float:
    return right() + seconds


if __name__ == "__main__":
    seconds = float(sys.argv.pop(1))
    time.time = wrong
    main()
