"""What the commands that ask one question take and print."""

from __future__ import annotations

from pathlib import Path

import pytest

from unimp.answer import RankedItem
from unimp.cli.asking import ids, named, show_items, whose
from unimp.core.errors import ConfigError, DataError


def test_ids_in_every_form(tmp_path: Path) -> None:
    assert ids(["a, b,,c"], "--history") == ["a", "b", "c"]
    assert ids([""], "--history") == []
    assert ids(["Nut, hex", "Bolt, M6"], "--history") == ["Nut, hex", "Bolt, M6"]
    listed = tmp_path / "history.txt"
    listed.write_text("\ufeffNut, hex\n\n Bolt, M6 \n", encoding="utf-8")
    assert ids([f"@{listed}"], "--history") == ["Nut, hex", "Bolt, M6"]
    with pytest.raises(DataError, match=r"--history @nowhere: cannot be read \(No such file or directory\)"):
        ids(["@nowhere"], "--history")
    listed.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match="not UTF-8 text"):
        ids([f"@{listed}"], "--candidates")


def test_whose_question_it_is() -> None:
    assert whose(None, ["a,b"]) == {"user": None, "history": ["a", "b"]}
    assert whose("u", None) == {"user": "u", "history": None}
    assert whose(None, [""]) == {"user": None, "history": []}
    with pytest.raises(ConfigError, match="give either --user ID or --history"):
        whose(None, None)
    with pytest.raises(ConfigError, match="not both"):
        whose("u", ["a"])


def test_an_item_without_a_title_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    show_items("found", (RankedItem("i7", "i7", 0.5), RankedItem("i8", "Cup", 0.25)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["1", "i7", "0.500"]
    assert lines[2].split() == ["2", "i8", "Cup", "0.250"]
    assert named("i7", "i7").strip() == "i7"
