"""Extensions by entry point: found, refused in one line, and the rest goes on working."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unimp.core.errors import ConfigError
from unimp.core.registry import BrokenContract, Registry
from unimp.tasks import TASKS, checked_task

GROUP = "unimp.test_numbers"


def install(folder: Path, package: str, points: dict[str, str], group: str = GROUP, code: str = "") -> None:
    """A package as an installer leaves it: a module and its metadata."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {target}" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")


def number(name: str, found: Any) -> int:
    if not isinstance(found, int):
        raise BrokenContract("is no number; name one")
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def numbers() -> Registry[int]:
    return Registry("number", GROUP, {"one": 1, "two": "math:tau"}, number)


def test_a_table_alone(folder: Path) -> None:
    known = numbers()
    assert list(known) == ["one", "two"]
    assert known.find("two") > 6
    with pytest.raises(ConfigError, match="unknown number 'ones'; did you mean \"one\""):
        known.find("ones")
    assert "three" not in known


def test_an_extension_is_found_by_name_and_listed(folder: Path) -> None:
    install(folder, "more_numbers", {"three": "more_numbers:THREE"}, code="THREE = 3")
    known = numbers()
    assert dict(known.items())["three"] == 3
    assert list(known) == ["one", "two", "three"]
    assert known.broken == {}


def test_nothing_is_imported_before_it_is_named(folder: Path) -> None:
    install(folder, "loud_numbers", {"three": "loud_numbers:THREE"}, code="raise SystemExit('imported')")
    assert numbers().find("one") == 1


@pytest.mark.parametrize(
    ("package", "code", "target", "reason"),
    [
        ("no_module", "", "no_such_module:THREE", "cannot be imported (ModuleNotFoundError"),
        ("raising", "1 / 0", "raising:THREE", "cannot be imported (ZeroDivisionError: division by zero)"),
        ("nameless", "", "nameless:THREE", "cannot be imported (AttributeError"),
        ("wordy", "THREE = 'three'", "wordy:THREE", "is no number; name one"),
    ],
)
def test_a_broken_extension_is_one_line_and_the_rest_works(
    folder: Path, package: str, code: str, target: str, reason: str
) -> None:
    install(folder, package, {"three": target}, code=code)
    known = numbers()
    assert list(known) == ["one", "two"]
    with pytest.raises(ConfigError) as caught:
        known.find("three")
    line = str(caught.value)
    assert line.startswith(f'number "three" of package {package} ({GROUP}: {target}): {reason}')
    assert "\n" not in line
    assert known.broken == {"three": line}
    assert known.find("one") == 1


def test_two_extensions_with_one_name(folder: Path) -> None:
    install(folder, "first_pack", {"three": "first_pack:N"}, code="N = 3")
    install(folder, "second_pack", {"three": "second_pack:N", "four": "second_pack:M"}, code="N = 33\nM = 4")
    known = numbers()
    assert list(known) == ["one", "two", "four"]
    with pytest.raises(ConfigError, match="brought by 2 packages") as caught:
        known.find("three")
    for told in ("first_pack:N", "second_pack:N", "uninstall all but one"):
        assert told in str(caught.value)


def test_an_extension_cannot_take_one_of_our_names(folder: Path) -> None:
    install(folder, "usurper", {"one": "usurper:N"}, code="N = 100")
    known = numbers()
    assert known.find("one") == 1
    assert "usurper" in known.broken["one"]
    assert "rename the entry point" in known.broken["one"]


WHOLE = """
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.requests import TaskRequest
class Ask(TaskRequest):
    '''Asks.'''
class Whole(RatingTask):
    name, command, words, Request = "whole", "whole", "do all", Ask
class Wordless(Whole):
    name, words = "wordless", ""
class Renamed(Whole):
    name = "other"
from unimp.tasks.task import Task
class Scoreless(Task):
    name = command = words = summary = headline = "scoreless"
    Request, Answer = Ask, dict
    def windows(self, histories, max_items, rng): return []
    def sentence(self, histories, window): return None
    def decoder(self, parts): return None
    def answer(self, decoder, histories, requests, picture_rows=()): return []
"""


@pytest.mark.parametrize(
    ("name", "attribute", "reason"),
    [
        ("wordless", "Wordless", "has no `words`; give its class one"),
        ("renamed", "Renamed", "calls itself 'other'; give both the same name"),
        ("scoreless", "Scoreless", "has no method `score`; write it"),
        ("ask", "Ask", "is no subclass of unimp.tasks.task.Task"),
    ],
)
def test_a_task_that_breaks_its_contract_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, attribute: str, reason: str
) -> None:
    package = f"tasks_{name}"
    install(folder, package, {name: f"{package}:{attribute}"}, "unimp.tasks", WHOLE)
    known = Registry("task", "unimp.tasks", TASKS.table, checked_task)
    with pytest.raises(ConfigError) as caught:
        known.find(name)
    assert reason in str(caught.value)
    assert package in str(caught.value)
    assert len(known) == len(TASKS.table)


def test_the_command_line_warns_and_goes_on(tmp_path: Path) -> None:
    install(tmp_path, "broken_task", {"wrong": "broken_task:Nothing"}, "unimp.tasks")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from unimp.cli.main import main; main()"

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    helped = call("--help")
    assert helped.returncode == 0
    assert "recommend" in helped.stdout
    assert 'task "wrong" of package broken_task' in helped.stderr
    (tmp_path / "users.txt").write_text("ann\n")
    users = str(tmp_path / "users.txt")
    asked = call("batch", "run", "--task", "wrong", "--users", users, "--out", str(tmp_path / "out"))
    assert asked.returncode == 2
    assert asked.stderr.count("\n") == 1
    assert "mend or uninstall the package" in asked.stderr
