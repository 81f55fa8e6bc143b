"""The one progress helper: bars on a terminal, a line now and then elsewhere, silent when not wanted."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_SECONDS = 15.0
"""Between two lines off a terminal."""


class ProgressBar:
    """A bar that is moved by `advance`; `line` says the same in words."""

    def __init__(self, progress: Progress | None, label: str, total: int | None) -> None:
        self.progress, self.label, self.total = progress, label, total
        self.done, self.note, self.started = 0, "", time.monotonic()
        self.task = progress.add_task(label, total=total, note="") if progress else None

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        self.note = note
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, completed=self.done, note=note)

    def line(self) -> str:
        """`label: done/total note`; of a step that cannot be counted, how long it has taken."""
        if self.total is None:
            return f"{self.label}: {time.monotonic() - self.started:.0f} s so far"
        return f"{self.label}: {self.done}/{self.total} {self.note}".rstrip()


@contextmanager
def progress_bar(
    label: str, total: int | None, *, show: bool = True, log_seconds: float | None = None
) -> Iterator[ProgressBar]:
    """Show the progress of `total` steps of `label` with time left; `note` says what is worth watching.

    `total` None: one step that cannot be counted. Off a terminal, a line every `log_seconds` (LOG_SECONDS
    unless said), whether or not the bar moves: a log tells a slow step from a dead process.
    """
    if not show:
        yield ProgressBar(None, label, total)
    elif not sys.stderr.isatty():
        with spoken(
            ProgressBar(None, label, total), LOG_SECONDS if log_seconds is None else log_seconds
        ) as bar:
            yield bar
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            *((MofNCompleteColumn(), TimeRemainingColumn(compact=True)) if total is not None else ()),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            yield ProgressBar(progress, label, total)


@contextmanager
def spoken(bar: ProgressBar, log_seconds: float) -> Iterator[ProgressBar]:
    """Print the bar's line every `log_seconds` while it lasts."""
    ended = threading.Event()

    def speak() -> None:
        while not ended.wait(log_seconds):
            print(bar.line(), file=sys.stderr, flush=True)

    speaker = threading.Thread(target=speak, name=f"progress of {bar.label}", daemon=True)
    speaker.start()
    try:
        yield bar
    finally:
        ended.set()
        speaker.join()


def say(line: str, *, show: bool = True) -> None:
    """One line for people on standard error."""
    if show:
        print(line, file=sys.stderr, flush=True)
