"""Recipes: what parses, what is refused, former keys, and the reference page made from the docstrings."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from unimp.cli import main
from unimp.core.config import parse_overrides
from unimp.core.errors import ConfigError
from unimp.evaluate.bench.result import StoredResult, read_result
from unimp.runs.recipe import FORMER_NAMES, Recipe, load_recipe, recipe_names
from unimp.runs.recipe_reference import recipe_keys, recipe_page
from unimp.train.bench_method import UnimpMethodConfig

ROOT = Path(__file__).parents[2]


def test_every_packaged_recipe_parses() -> None:
    for name in recipe_names():
        assert load_recipe(name).name == name
    for former, present in FORMER_NAMES.items():
        assert load_recipe(former) == load_recipe(present)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.learning_rat=1", r"unknown key 'train.learning_rat'"),
        ("train.epoch=1", r"unknown key 'train.epoch'; did you mean \"epochs\"\?"),
        ("train.epochs", r"expected key=value"),
        ("train.epochs=many", r"train.epochs: .* \(got 'many'\)"),
        ("objective.tasks.serach=2", r"objective.tasks: unknown task 'serach'; did you mean \"search\"\?"),
        ("objective.tasks.search=-1", r"objective.tasks.search: .*greater than or equal to 0"),
        ("content.log=16", r"content.log: this version has no such key and always uses 0 \(got 16\)"),
        ("vision.token_width=2", r"token_width must be at least 4"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe("small", [setting])
    assert "\n" not in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r'unknown recipe \'smal\'; did you mean "small"'):
        load_recipe("smal")


FORMER = ["vision.width=16", "vision.picture_width=64", "image_tokenizer.picture_width=64"]
PRESENT = ["vision.token_width=16", "vision.image_width=64", "image_tokenizer.image_width=64"]


@pytest.mark.parametrize("name", ["small", "demo"])
def test_former_keys_on_the_command_line(name: str) -> None:
    """Also upon a recipe that sets the present key itself, as `demo` does."""
    recipe = load_recipe(name, FORMER)
    assert recipe == load_recipe(name, PRESENT)
    assert (recipe.vision.token_width, recipe.vision.image_width) == (16, 64)
    assert recipe.image_tokenizer.image_width == 64


def test_former_keys_in_a_file_and_in_the_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "demo"\n[vision]\nwidth = 16\npicture_width = 64\n')
    vision = load_recipe(str(path)).vision
    assert (vision.token_width, vision.image_width) == (16, 64)
    settings = UnimpMethodConfig(recipe="demo", settings={"vision": {"width": 16}})
    assert settings.resolved().vision.token_width == 16
    assert settings.value_at("settings.vision.width") == 16


def test_recipes_of_stored_results_still_parse() -> None:
    """They hold former and removed keys; the table reads them, and so would a run folder of that time."""
    found = 0
    for path in sorted((ROOT / "results").rglob("unimp-*.json")):
        stored = read_result(path)
        assert isinstance(stored, StoredResult), stored
        if "recipe" in stored.result.details:
            saved = stored.result.details["recipe"]
            recipe = Recipe.parse(saved, str(path))
            assert recipe.vision.image_width == saved["vision"].get("image_width", 32)
            assert recipe.train.lr == saved["train"]["lr"]
            found += 1
    assert found >= 10


def test_a_saved_recipe_is_read_back() -> None:
    for name in recipe_names():
        recipe = load_recipe(name)
        assert Recipe.parse(json.loads(json.dumps(recipe.model_dump(mode="json"))), "run.json") == recipe


def test_every_key_has_a_docstring() -> None:
    keys = list(recipe_keys(Recipe()))
    assert len({key.name for key in keys}) == len(keys) > 80
    assert not [key.name for key in keys if len(key.doc) < 10 or not key.values]


def test_the_reference_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text()
    assert page == recipe_page(), "run python -m unimp.runs.recipe_reference > docs/recipe.md"
    assert all(f"| `{key.name.rpartition('.')[2]}` |" in page for key in recipe_keys(Recipe()))


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["unimp", "recipe", *arguments])
    with pytest.raises(SystemExit) as stop:
        main.main()
    captured = capsys.readouterr()
    assert stop.value.code == 0, captured.err
    return captured.out


def test_the_command_prints_what_a_recipe_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = json.loads(printed(capsys, monkeypatch, "list", "--json"))
    assert [row["name"] for row in rows] == recipe_names()
    assert "formerly six-hm" in printed(capsys, monkeypatch, "list")
    text = printed(capsys, monkeypatch, "show", "six-hm", "--set", "train.lr=1e-4")
    assert "train.lr = 0.0001  (default 0.001)" in text
    assert "sentence.fields = []  (default not set)" in text
    changed = json.loads(printed(capsys, monkeypatch, "show", "small-hm", "--json"))
    everything = json.loads(printed(capsys, monkeypatch, "show", "small-hm", "--defaults", "--json"))
    assert [row for row in everything["keys"] if row["value"] != row["default"]] == changed["keys"]
    assert {row["key"]: row["value"] for row in changed["keys"]}["structure.l2"] == 20.0
    assert len(everything["keys"]) == len(list(recipe_keys(Recipe())))


def test_what_is_printed_can_be_set_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changed keys of every packaged recipe, laid upon nothing but the defaults, give the recipe."""
    for name in recipe_names():
        lines = printed(capsys, monkeypatch, "show", name).splitlines()
        settings = [line.partition("  (default")[0] for line in lines if re.match(r"\S", line)]
        assert load_recipe_from(settings) == load_recipe(name)


def load_recipe_from(settings: list[str]) -> Recipe:
    tables = parse_overrides(setting.replace(" = ", "=", 1) for setting in settings)
    return Recipe.parse(tables, "test")
