"""What the commands that ask one question take and print."""

from __future__ import annotations

from pathlib import Path

import pytest

from unimp.answer import RankedItem
from unimp.cli.tasks import whose
from unimp.core.errors import ConfigError, DataError
from unimp.tasks.forms import option_ids
from unimp.tasks.ranking import item_lines, titled


def test_ids_in_every_form(tmp_path: Path) -> None:
    assert option_ids(["a, b,,c"], "--history") == ["a", "b", "c"]
    assert option_ids([""], "--history") == []
    assert option_ids(["Nut, hex", "Bolt, M6"], "--history") == ["Nut, hex", "Bolt, M6"]
    listed = tmp_path / "history.txt"
    listed.write_text("\ufeffNut, hex\n\n Bolt, M6 \n", encoding="utf-8")
    assert option_ids([f"@{listed}"], "--history") == ["Nut, hex", "Bolt, M6"]
    with pytest.raises(DataError, match=r"--history @nowhere: cannot be read \(No such file or directory\)"):
        option_ids(["@nowhere"], "--history")
    listed.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match="not UTF-8 text"):
        option_ids([f"@{listed}"], "--candidates")


def test_whose_question_it_is() -> None:
    assert whose(None, ["a,b"]) == {"user": None, "history": ["a", "b"]}
    assert whose("u", None) == {"user": "u", "history": None}
    assert whose(None, [""]) == {"user": None, "history": []}
    with pytest.raises(ConfigError, match="give either --user ID or --history"):
        whose(None, None)
    with pytest.raises(ConfigError, match="not both"):
        whose("u", ["a"])


def test_an_item_without_a_title_is_named_once() -> None:
    lines = item_lines("found", (RankedItem("i7", "i7", 0.5), RankedItem("i8", "Cup", 0.25)))
    assert lines[1].split() == ["1", "i7", "0.500"]
    assert lines[2].split() == ["2", "i8", "Cup", "0.250"]
    assert titled("i7", "i7").strip() == "i7"
