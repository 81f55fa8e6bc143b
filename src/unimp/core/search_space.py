"""A search space: which settings of a config may be tuned, and between which ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DIGITS = 3
"""Significant digits of a number that is tried: a winner is to be read and typed again."""


@dataclass(frozen=True)
class Real:
    """A number between two ends, both included."""

    low: float
    high: float
    log: bool = False
    """Draw its logarithm evenly: for what is felt in factors, such as learning rates and penalties."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def settle(self, value: Any) -> float:
        """What is tried in the place of a drawn value."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low:g} … {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Whole:
    """A whole number between two ends, both included."""

    low: int
    high: int
    log: bool = False
    """As in `Real`."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high

    def settle(self, value: Any) -> int:
        return int(value)

    def __str__(self) -> str:
        return f"{self.low} … {self.high}, whole{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of a few values, without an order."""

    values: tuple[bool | int | float | str | None, ...]

    def holds(self, value: Any) -> bool:
        return value in self.values

    def settle(self, value: Any) -> Any:
        return value

    def __str__(self) -> str:
        return " | ".join(str(value) for value in self.values)


Dimension = Real | Whole | Choice
SearchSpace = Mapping[str, Dimension]
"""Dimensions by dotted key of the config, such as `quantiser.codes`."""
