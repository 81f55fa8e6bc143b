"""`Decoder`: the base of what answers one task with the model, and the hooks by which it is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, Self, TypeAlias

from unimp.data.histories import IntArray
from unimp.inference.continuation import Check
from unimp.inference.kept import Kept
from unimp.inference.score_sources import ScoreSources
from unimp.model.inputs import ItemState

KeptOf: TypeAlias = Callable[[str], Kept]
"""A task's name -> what is kept of one user's sentences of that task."""


class Decoder:
    """Answers one task. A subclass is a dataclass; every hook returns a changed copy.

    By default a hook fills the fields that the subclass has by these names: `state` and `sources`, `check`,
    `kept`. A decoder that holds another decoder overrides the hooks and passes them on.
    """

    def with_items(self, state: ItemState, sources: ScoreSources) -> Self:
        """Answers from these items: pictures from outside are added, or the catalogue has changed."""
        return self.with_fields(state=state, sources=sources)

    def with_check(self, check: Check) -> Self:
        """Long work calls `check` before every step, which raises when the answer is not wanted any more."""
        return self.with_fields(check=check)

    def with_prefixes(self, name: str, kept_of: KeptOf) -> Self:
        """Answers for one user alone, whose history the model reads once. name: that of the task."""
        return self.with_fields(kept=kept_of(name)) if self.has("kept") else self

    def forget_items(self, item_rows: IntArray) -> None:
        """The catalogue's words about these items have changed: drop what was cached of them."""

    def has(self, name: str) -> bool:
        """Whether the dataclass has this field."""
        return is_dataclass(self) and name in {field.name for field in fields(self)}

    def with_fields(self, **values: Any) -> Self:
        """A copy with those of the values for which the dataclass has a field."""
        own = {name: value for name, value in values.items() if self.has(name)}
        return replace(self, **own) if own else self  # type: ignore[type-var]
