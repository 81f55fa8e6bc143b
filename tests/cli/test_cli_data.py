"""`unimp data …` as a user meets it: what is printed, where, and with which exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.data.csv_shop import CsvShop, jpeg, shop
from tests.data.test_pictures import huge_png
from unimp.cli import data
from unimp.core.errors import UnimpError
from unimp.data.sources import SOURCES

MAP = ("--map", "colour=category", "--map", "price=number")


def call(*arguments: str | Path) -> Result:
    app = typer.Typer()
    data.register(app)
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def refused(*arguments: str | Path) -> str:
    """The one line a user sees when the command refuses."""
    result = call(*arguments)
    assert isinstance(result.exception, UnimpError), result.output
    assert result.stdout == ""
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_import_then_check(shop_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    imported = call("import", "csv", shop_folder, "--out", out, *MAP)
    assert imported.exit_code == 0, imported.output
    first, following, noted = imported.stdout.splitlines()[:3]
    assert first == f"{out}: 4 users, 4 items, 16 events"
    assert following == f"  next: unimp train --data {out} --out {out}-run"
    assert noted.startswith("  timestamp: times before 1990")
    assert "\n  1 item(s) without an event" in imported.stdout
    checked = call("check", out)
    assert checked.exit_code == 0
    assert "history length: min 4" in checked.stdout
    assert "pictures decoded: 4, undecodable: 0" in checked.stdout


def test_json_is_one_document_and_nothing_else(shop_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    imported = json.loads(call("import", "csv", shop_folder, "--out", out, *MAP, "--json").stdout)
    assert imported["counts"]["events"] == 16
    checked = json.loads(call("check", out, "--json").stdout)
    assert checked["data_hash"] == imported["data_hash"]
    assert checked["passed"] is True
    (shop_folder / "img" / "1.jpg").write_bytes(b"broken")
    failed = call("check", out, "--json")
    assert isinstance(failed.exception, UnimpError)
    assert "1 undecodable picture(s), the first: " in str(failed.exception)
    assert json.loads(failed.stdout)["passed"] is False


def test_help_lists_every_source_with_its_filters() -> None:
    text = " ".join(call("import", "--help").stdout.replace("│", " ").split())
    for name, entry in SOURCES.items():
        assert name in text
        assert f"{entry.k_core} for {name}" in text


def bad_shops(folder: Path) -> dict[str, tuple[Path, str]]:
    """Name -> (a folder with one fault, the message's start)."""

    def made(name: str, changed: CsvShop) -> Path:
        return changed.write(folder / name)

    cases = {
        "unknown item": (
            made("a", shop().but("events", 3, 1, "99")),
            'events.csv:3: unknown item "99"; check',
        ),
        "lost zero": (
            made("b", shop().but("events", 3, 1, "1")),
            'events.csv:3: unknown item "1"; the catalogue',
        ),
        "duplicate": (
            made("c", shop().but("items", 3, 0, "00")),
            'items.csv:3: duplicate item id "00"; delete',
        ),
        "rating": (
            made("d", shop().but("events", 3, 3, "7")),
            'events.csv:3: rating is outside its scale: "7";',
        ),
        "time": (
            made("e", shop().but("events", 3, 2, "noon")),
            'events.csv:3: timestamp is not a time: "noon";',
        ),
        "no items": (made("f", CsvShop((), shop().events)), "items.csv: empty catalogue"),
    }
    pictures = {
        "unreadable": b"no picture",
        "truncated": jpeg(width=64, height=64)[:-50],
        "100 megapixels": huge_png(10_000, 10_000),
    }
    for name, content in pictures.items():
        path = made(name, shop())
        (path / "img" / "1.jpg").write_bytes(content)
        cases[name] = (path, f'items.csv:3: item "01", {name}/img/1.jpg: ')
    gone = made("gone", shop())
    (gone / "img" / "1.jpg").unlink()
    cases["missing picture"] = (gone, 'items.csv:3: item "01" names missing image "img/1.jpg"; fix the path')
    ragged = made("ragged", shop())
    with (ragged / "events.csv").open("a") as file:
        file.write("u1,01\n")
    cases["malformed row"] = (ragged, "events.csv:18: row has 2 field(s), expected 5")
    return cases


def test_every_bad_input_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    for name, (folder, message) in bad_shops(tmp_path / "shops").items():
        out = tmp_path / "data" / "out"
        shown = refused("import", "csv", folder, "--out", out, *MAP)
        assert shown.startswith(message), (name, shown)
        assert ";" in shown, f"{name}: no remedy"
        assert not out.parent.exists(), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "cvs", "shop", "--out", "out"], "unknown source 'cvs'; did you mean \"csv\"?"),
        (["import", "csv", "absent", "--out", "out"], "absent: no such file or folder"),
        (["import", "csv", "shop", "--out", "shop"], "shop: exists and is not a data folder"),
        (
            ["import", "csv", "shop", "--out", "out", "--map", "colour=categry"],
            "unknown role 'categry'; did you mean",
        ),
        (
            ["import", "csv", "shop", "--out", "out", "--k-core", "9"],
            "nothing left of 16 events after the 9-core",
        ),
        (["import", "csv", "shop", "--out", "out", "--k-core", "-1"], "k_core: Input should be greater than"),
        (
            ["import", "csv", "shop", "--out", "out", "--deduplicate", "all"],
            "deduplicate: Input should be 'none'",
        ),
        (
            ["import", "hm", "shop", "--out", "out", "--map", "a=id"],
            "--map: not an option of source hm; leave it",
        ),
        (
            ["import", "csv", "shop", "--out", "out", "--transactions", "x"],
            "--transactions: not an option of",
        ),
        (["import", "hm", "shop", "--out", "out"], "has no articles.csv"),
        (["check", "absent"], "absent: no such data folder; make one with `unimp data import`"),
        (["check", "shop"], "shop: not a data folder (no data.json)"),
    ],
)
def test_wrong_arguments(
    shop_folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(shop_folder.parent)
    assert message in refused(*arguments)
    assert not Path("out").exists()


def test_a_malformed_json_line(tmp_path: Path) -> None:
    good = '{"reviewerID": "u", "asin": "B%d", "overall": 5, "unixReviewTime": 1}\n'
    (tmp_path / "r.json").write_text("".join(good % i for i in range(3)) + "{broken\n")
    arguments = ("import", "amazon", tmp_path / "r.json", "--out", tmp_path / "out", "--k-core", "0")
    assert refused(*arguments).startswith("r.json:4: malformed line")
    allowed = call(*arguments, "--max-bad-rows", "1")
    assert allowed.exit_code == 0
    assert "1 bad row(s) dropped, the first: r.json:4" in allowed.stdout


def test_the_entry_point_turns_a_refusal_into_status_2(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "unimp.cli.main", "data", "check", tmp_path / "absent"],
        capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"}, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr == f"error: {tmp_path}/absent: no such data folder; make one with `unimp data import`\n"
