"""`Registry`: entries by name, from one lazy table of our own and from installed packages' entry points."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import metadata
from typing import Any, Generic, TypeVar

from unimp.core.errors import ConfigError, did_you_mean

EntryT = TypeVar("EntryT")


class BrokenContract(Exception):
    """What is wrong with an extension, and what mends it."""


class Registry(Mapping[str, EntryT], Generic[EntryT]):
    """A mapping from name to entry. Nothing is imported before a name is looked up.

    The table's values are entries, or `module:attribute` of one. Extensions are read from the entry point
    group when a name is looked up that the table lacks, or when the names are listed. Listing leaves out
    extensions that cannot be used; `broken` says why, and so does the error for whoever names one.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        table: Mapping[str, EntryT | str],
        check: Callable[[str, Any], EntryT],
    ) -> None:
        """kind: the word for one entry, for messages; check: returns what an entry point names, or raises
        BrokenContract."""
        self.kind, self.group, self.table, self.check = kind, group, dict(table), check
        self._loaded: dict[str, EntryT] = {}
        self._broken: dict[str, str] = {}

    @cached_property
    def extensions(self) -> dict[str, list[metadata.EntryPoint]]:
        """Name -> the entry points of that name; more than one, or one of the table's names, is an error."""
        found: dict[str, list[metadata.EntryPoint]] = {}
        for point in metadata.entry_points(group=self.group):
            known = found.setdefault(point.name, [])
            if all(package(point) != package(other) or point.value != other.value for other in known):
                known.append(point)
        return found

    def find(self, name: str) -> EntryT:
        """The entry; ConfigError says which names are near, or what is wrong with the extension."""
        if name not in self:
            raise ConfigError(f"unknown {self.kind} {name!r}{did_you_mean(name, list(self))}")
        return self[name]

    def __getitem__(self, name: str) -> EntryT:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.table or name in self.extensions

    def __iter__(self) -> Iterator[str]:
        yield from self.table
        for name in self.extensions:
            if name not in self.table and name not in self.broken:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @cached_property
    def broken(self) -> dict[str, str]:
        """Name -> one line about the extension that cannot be used."""
        found: dict[str, str] = {}
        for name, points in self.extensions.items():
            try:
                if name in self.table:
                    raise self._clash(name, points)
                self[name]
            except ConfigError as error:
                found[name] = str(error)
        return found

    def _load(self, name: str) -> EntryT:
        if name in self.table:
            entry = self.table[name]
            return imported(entry) if isinstance(entry, str) else entry
        points = self.extensions[name]
        if len(points) > 1:
            raise self._clash(name, points)
        (point,) = points
        try:
            return self.check(name, point.load())
        except BrokenContract as problem:
            raise ConfigError(f"{self._place(point)}: {problem}") from None
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(
                f"{self._place(point)}: cannot be imported ({reason}); mend or uninstall the package"
            ) from error

    def _place(self, point: metadata.EntryPoint) -> str:
        return f'{self.kind} "{point.name}" of package {package(point)} ({self.group}: {point.value})'

    def _clash(self, name: str, points: list[metadata.EntryPoint]) -> ConfigError:
        """Two extensions with one name, or one with a name of ours."""
        places = [f"{package(point)} ({self.group}: {point.value})" for point in points]
        if name in self.table:
            return ConfigError(
                f'{self.kind} "{name}" of package {places[0]}: the name is UniMP\'s own; '
                "rename the entry point, or uninstall the package"
            )
        return ConfigError(
            f'{self.kind} "{name}": brought by {len(places)} packages, {" and ".join(places)}; '
            "uninstall all but one"
        )


def package(point: metadata.EntryPoint) -> str:
    """The name of the package that declares the entry point."""
    return point.dist.name if point.dist is not None else "?"


def imported(path: str) -> Any:
    """What `module:attribute` names."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
