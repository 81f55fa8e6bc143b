"""An error that the user can mend ends a program with one line and status 2; others are shown whole."""

from __future__ import annotations

import pytest

from unimp.core.errors import ConfigError
from unimp.core.exits import one_line_errors


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("a.toml: no such key\n'widht'; did you mean 'width'?"), "a.toml: no such key 'widht'"),
        (FileNotFoundError(2, "No such file or directory", "lost.json"), "lost.json: No such file"),
        (OSError("the line is dead"), "file system: the line is dead"),
    ],
)
def test_a_mistake_is_one_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(SystemExit) as exit_, one_line_errors():
        raise error
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {line}")
    assert said.count("\n") == 1


def test_with_debug_the_traceback_comes_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["program", "--debug"])
    with pytest.raises(SystemExit), one_line_errors():
        raise ConfigError("no such recipe")
    assert "Traceback" in capsys.readouterr().err


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors():
        raise ZeroDivisionError
