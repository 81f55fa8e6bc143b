"""`Decoder`: the base of what answers one task with the model, and the hooks by which it is changed."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, Self

from unimp.inference.continuation import Check
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.score_sources import ScoreSources
from unimp.model.inputs import ItemState


class Decoder:
    """Answers one task. A subclass is a dataclass; every hook returns a changed copy.

    By default a hook fills the fields that the subclass has by these names: `state` and `sources`, `check`,
    `cache`. A decoder that holds another decoder overrides the hooks and passes them on.
    """

    def with_items(self, state: ItemState, sources: ScoreSources) -> Self:
        """Answers from these items: those of the catalogue, followed by pictures from outside."""
        return self.with_fields(state=state, sources=sources)

    def with_check(self, check: Check) -> Self:
        """Long work calls `check` before every step, which raises when the answer is not wanted any more."""
        return self.with_fields(check=check)

    def with_prefixes(self, cache: PrefixCache) -> Self:
        """Reads of each history only what the cache does not hold of the user that `user_ids` names."""
        return self.with_fields(cache=cache)

    def has(self, name: str) -> bool:
        """Whether the dataclass has this field."""
        return is_dataclass(self) and name in {field.name for field in fields(self)}

    def with_fields(self, **values: Any) -> Self:
        """A copy with those of the values for which the dataclass has a field."""
        own = {name: value for name, value in values.items() if self.has(name)}
        return replace(self, **own) if own else self  # type: ignore[type-var]
