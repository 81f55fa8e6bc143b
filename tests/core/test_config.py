"""Former and removed keys of a configuration: one mechanism for TOML, `--set` and saved files."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import Field

from unimp.core.config import Config
from unimp.core.errors import ConfigError


class Inner(Config):
    """A section."""

    renamed_keys: ClassVar[dict[str, str]] = {"size": "width"}
    removed_keys: ClassVar[dict[str, Any]] = {"fast": True}
    width: int = 1
    """Wide."""


class Outer(Config):
    """A file."""

    renamed_keys: ClassVar[dict[str, str]] = {"part": "inner"}
    inner: Inner = Inner()
    free: dict[str, Any] = Field(default_factory=dict)
    """Anything."""


@pytest.mark.parametrize("values", [{"inner": {"size": 3}}, {"part": {"size": 3}}, {"part": {"width": 3}}])
def test_a_former_key_sets_the_present_one(values: dict[str, Any]) -> None:
    assert Outer.parse(values, "x.toml") == Outer(inner=Inner(width=3))
    assert Outer.current_keys(values, "x.toml") == {"inner": {"width": 3}}


@pytest.mark.parametrize("key", ["inner.width", "inner.size", "part.size"])
def test_a_former_key_reads_the_present_one(key: str) -> None:
    assert Outer(inner=Inner(width=3)).value_at(key) == 3


def test_a_free_table_keeps_its_keys() -> None:
    assert Outer.parse({"free": {"size": 3, "part": 1}}, "x.toml").free == {"size": 3, "part": 1}


def test_a_removed_key_may_hold_the_value_in_use() -> None:
    assert Outer.parse({"inner": {"fast": True, "width": 2}}, "x.toml") == Outer(inner=Inner(width=2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"fast": False}}, r"^x.toml: inner.fast: this version .* always uses True \(got False\)"),
        ({"inner": {"size": 3, "width": 3}}, r"^x.toml: inner.size is the former name of inner.width"),
        ({"inner": {"width": 3, "size": 3}}, r"^x.toml: inner.size is the former name of inner.width"),
        ({"part": {}, "inner": {}}, r"^x.toml: part is the former name of inner; give only that$"),
        ({"part": {"widht": 3}}, r"^x.toml: unknown key 'inner.widht'; did you mean \"width\"\?$"),
        ({"part": {"size": "wide"}}, r"^x.toml: inner.width: .*integer.* \(got 'wide'\)$"),
    ],
)
def test_mistakes_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Outer.parse(values, "x.toml")
