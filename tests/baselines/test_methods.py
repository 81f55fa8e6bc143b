"""The table of methods is true: every line can be loaded, is tested, and names what it needs."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from unimp.baselines import METHODS, find_method
from unimp.baselines.baseline import TrainingData
from unimp.core.errors import ConfigError
from unimp.testing.world import toy_world

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", METHODS)
def test_each_line_is_true(name: str) -> None:
    entry = METHODS[name]
    assert entry.make().config == entry.config()
    test = (ROOT / entry.test).read_text()
    assert "RankerContract" in test
    assert f'method = "{name}"' in test


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_is_explained(name: str) -> None:
    for field, info in METHODS[name].load().config_class.model_fields.items():
        assert info.description, f"{name}: {field} has no docstring"


def test_an_unknown_name_says_what_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"unknown method 'itemkn'; did you mean .*\"itemknn\""):
        find_method("itemkn")


def test_an_unknown_key_says_what_was_meant() -> None:
    with pytest.raises(ConfigError, match="unknown key 'recensy'; did you mean \"recency\""):
        METHODS["itemknn"].config({"recensy": 1.0})


def test_settings_tell_entries_of_one_class_apart() -> None:
    assert METHODS["itemknn"].config().recency == 1.0
    assert METHODS["itemknn-recency"].config().recency == 0.6
    assert METHODS["itemknn-recency"].config({"recency": 0.5}).recency == 0.5


def test_training_data_cannot_hold_the_test() -> None:
    world = toy_world()
    names = {"train", "valid", "catalog", "exclude_history", "features", "teacher"}
    assert {field.name for field in fields(TrainingData)} == names
    ends = world.training.train.event_rows.tolist() + world.training.valid.target_events.tolist()
    assert not set(ends) & set(world.split.test.target_events.tolist())


def test_the_table_imports_nothing_heavy() -> None:
    program = (
        "import unimp.baselines, sys; print([m for m in ('torch', 'scipy', 'polars') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
