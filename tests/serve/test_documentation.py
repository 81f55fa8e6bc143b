"""The page about serving holds the table of the settings as the code has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.serve.site import Site
from unimp.core.errors import ConfigError
from unimp.serve.server import choose_settings, server_config
from unimp.serve.settings import ServeSettings, settings_table

ROOT = Path(__file__).parents[2]


def test_the_limits_are_documented_as_they_are() -> None:
    """`settings_table()` prints what the page must hold."""
    assert settings_table() in (ROOT / "docs" / "serving.md").read_text()


def test_all_that_is_held_is_documented(site: Site) -> None:
    server_config(site.app, site.service.settings)  # adds what connections hold
    page = (ROOT / "docs" / "serving.md").read_text()
    table = page[page.index("| `of` | holds | bound |") :].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)[1:] == list(site.service.metrics.holders)


def test_any_limit_can_be_set() -> None:
    chosen = choose_settings("127.0.0.1", overrides=["connections=10", "body_seconds=0.5"])
    assert (chosen.connections, chosen.body_seconds) == (10, 0.5)
    assert chosen.waiting == ServeSettings().waiting


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("conections=10", 'unknown key .conections.; did you mean "connections"'),
        ("waiting=-1", "waiting: must not be negative .got -1."),
        ("waiting=many", "waiting: .*integer"),
        ("requests_per_second=1", "--set requests_per_second: use --rate"),
    ],
)
def test_a_wrong_limit_is_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        choose_settings("127.0.0.1", overrides=[override])
    assert "\n" not in str(caught.value)
