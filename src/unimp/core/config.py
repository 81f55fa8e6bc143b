"""Typed, frozen configuration: TOML in, validated objects out, an unknown key says what was meant."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from unimp.core.errors import ConfigError, did_you_mean
from unimp.core.search_space import SearchSpace

TeacherKind = Literal["linear", "trees"]
"""Stages of a teacher of networks (`unimp.fusion.teacher`)."""


class Config(BaseModel):
    """Base of every configuration: frozen, no unknown keys, one docstring under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    search_space: ClassVar[SearchSpace] = {}
    """What tuning may vary; empty where there is nothing to tune."""
    renamed_keys: ClassVar[Mapping[str, str]] = {}
    """Former key -> its present name. TOML files, `--set` and saved files may use either."""
    removed_keys: ClassVar[Mapping[str, Any]] = {}
    """Former key -> the value that this version always uses. Files may hold the key with that value only."""

    def value_at(self, key: str) -> Any:
        """The value at a dotted key; a former key leads to the value of its present name."""
        value: Any = self
        for part in key.split("."):
            if isinstance(value, Config):
                value = getattr(value, value.renamed_keys.get(part, part))
            else:
                value = value[part]
        return value

    def changed(self, **values: Any) -> Self:
        """A copy with some values changed; ConfigError when one is out of bounds."""
        return type(self).parse(
            self.model_dump() | values, type(self).__name__.removesuffix("Config").lower()
        )

    @classmethod
    def parse(cls, values: Mapping[str, Any], place: str) -> Self:
        """Validate `values`; raise ConfigError with `place` (a file or an option) in one line."""
        try:
            return cls.model_validate(cls.current_keys(values, place))
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                known = known_keys(cls, first["loc"][:-1])
                hint = did_you_mean(str(first["loc"][-1]), known)
                raise ConfigError(f"{place}: unknown key {path!r}{hint}") from None
            reason = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{place}: {path}: {reason} (got {first.get('input')!r})") from None

    @classmethod
    def current_keys(cls, values: Mapping[str, Any], place: str, path: str = "") -> dict[str, Any]:
        """`values` with every former key under its present name, section by section.

        Lay one table upon another only after both went through this: else a file's present key and a
        former key from the command line would stand side by side. ConfigError for a removed key that
        holds another value than this version uses, and for a key that stands there under both names.
        """
        current: dict[str, Any] = {}
        for key, value in values.items():
            if key in cls.removed_keys:
                if value != (always := cls.removed_keys[key]):
                    raise ConfigError(
                        f"{place}: {path}{key}: this version has no such key and always uses {always!r} "
                        f"(got {value!r}); leave the key out"
                    )
                continue
            name = cls.renamed_keys.get(key, key)
            if name != key and name in values:
                raise ConfigError(f"{place}: {path}{key} is the former name of {path}{name}; give only that")
            section = section_of(cls, name)
            if section is not None and isinstance(value, Mapping):
                value = section.current_keys(value, place, f"{path}{name}.")
            current[name] = value
        return current


def section_of(config: type[Config], key: str) -> type[Config] | None:
    """The class of the section that `key` of `config` holds; None for a plain value or an unknown key."""
    field = config.model_fields.get(key)
    inner = field.annotation if field is not None else None
    return inner if isinstance(inner, type) and issubclass(inner, Config) else None


def known_keys(config: type[Config], path: Iterable[int | str]) -> list[str]:
    """Field names of the section of `config` that `path` leads to."""
    for part in path:
        config = section_of(config, str(part)) or config
    return list(config.model_fields)


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file; ConfigError if it is missing or malformed."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid upon it, table by table."""
    merged = dict(base)
    for key, value in over.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both_tables else value
    return merged


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"train.lr": value}` for {"train": {"lr": value}}, and the like."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def parse_overrides(settings: Iterable[str]) -> dict[str, Any]:
    """`["train.lr=1e-4", …]` as nested tables; values are read as TOML, else as plain text."""
    table: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {setting}: expected key=value, such as train.lr=1e-4")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table = merge(table, nest(key.strip(), value))
    return table


def nest(key: str, value: Any) -> dict[str, Any]:
    """`{"train": {"lr": value}}` for the key `train.lr`."""
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)
