"""`--engine` of the commands that can work on several machines."""

from __future__ import annotations

from enum import StrEnum

from unimp.core.errors import ConfigError


class Engine(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


def check_engine(engine: Engine, **given: object) -> None:
    """ConfigError for an option of Ray that is given without it."""
    for name, value in given.items():
        if value is not None and engine is not Engine.ray:
            raise ConfigError(f"--{name}: only with --engine ray")
