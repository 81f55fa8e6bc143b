"""Progress off a terminal: lines from the first seconds on, whether or not the bar moves."""

from __future__ import annotations

import threading

import pytest

from unimp.core.progress import progress_bar, say


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def wait_for_a_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The first line that a speaker prints; it speaks every hundredth of a second."""
    for _ in range(1000):
        found = lines_of(capsys)
        if found:
            return found[0]
        threading.Event().wait(0.01)
    raise AssertionError("nothing was said")


def test_a_bar_that_does_not_move_is_heard_of(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("reading", 7, log_seconds=0.01) as bar:
        assert wait_for_a_line(capsys) == "reading: 0/7"
        bar.advance(3, note="fine")
        lines_of(capsys)
        wait_for_a_line(capsys)
        assert wait_for_a_line(capsys) == "reading: 3/7 fine"
    lines_of(capsys)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress of reading"]


def test_a_step_that_cannot_be_counted_says_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("item-item scores", None, log_seconds=0.01):
        assert wait_for_a_line(capsys) == "item-item scores: 0 s so far"


def test_short_steps_and_unwanted_progress_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("quick", 3) as bar:
        bar.advance()
    with progress_bar("unwanted", 3, show=False, log_seconds=0.001) as bar:
        bar.advance(2)
        threading.Event().wait(0.02)
    say("unwanted", show=False)
    assert lines_of(capsys) == []
    say("wanted")
    assert lines_of(capsys) == ["wanted"]
