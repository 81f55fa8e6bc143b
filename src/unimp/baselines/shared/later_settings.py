"""Settings that came later, and the names of results that are older than they are."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from unimp.core.config import Config


class VersionedConfig(Config):
    """A config whose later settings are not written where they have their default, so that results keep the
    names that they had before there was the setting."""

    added_later: ClassVar[frozenset[str]] = frozenset()
    """Names of those settings; what a class and its parents name counts together."""

    @model_serializer(mode="wrap")
    def _without_default(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = write(self)
        later = {name for part in type(self).__mro__ for name in vars(part).get("added_later", ())}
        defaults = {name: type(self).model_fields[name].default for name in later}
        return {name: value for name, value in values.items() if defaults.get(name, ...) != value}
