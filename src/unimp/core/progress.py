"""The one progress helper: bars on standard error, silent when it is not a terminal or not wanted."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressBar:
    """A bar that is moved by `advance`; off a terminal it prints a line every `log_seconds`."""

    def __init__(self, progress: Progress | None, label: str, total: int, log_seconds: float | None) -> None:
        self.progress, self.label, self.total = progress, label, total
        self.done = 0
        self.log_seconds, self.last_log = log_seconds, time.monotonic()
        self.task = progress.add_task(label, total=total, note="") if progress else None

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, completed=self.done, note=note)
        elif self.log_seconds is not None and time.monotonic() - self.last_log >= self.log_seconds:
            self.last_log = time.monotonic()
            print(f"{self.label}: {self.done}/{self.total} {note}".rstrip(), file=sys.stderr, flush=True)


@contextmanager
def progress_bar(
    label: str, total: int, *, show: bool = True, log_seconds: float = 15.0
) -> Iterator[ProgressBar]:
    """Show the progress of `total` steps of `label` with time left; `note` says what is worth watching."""
    if not show:
        yield ProgressBar(None, label, total, None)
    elif not sys.stderr.isatty():
        yield ProgressBar(None, label, total, log_seconds)
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            yield ProgressBar(progress, label, total, None)
