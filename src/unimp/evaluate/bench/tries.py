"""What tuning leaves behind: the budget, every try, and which of them won."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from unimp.core.config import Config

CHOSEN_BY = "NDCG@5"
"""The validation metric by which settings are chosen."""


class Budget(Config):
    """How much tuning a method gets: the same for every method of a run."""

    trials: int = Field(ge=1)
    """Settings that are tried, the given (published) one first."""
    minutes: float | None = Field(default=None, gt=0)
    """No try begins once the tries so far have kept the processor busy so long (all threads added up, so that
    other work on the machine takes nothing away); the one that runs by then is finished."""
    seed: int = 0
    """Of the proposals, and of the method in every try."""

    def words(self) -> str:
        """`20 trials`, `20 trials or 30 minutes`."""
        limit = "" if self.minutes is None else f" or {self.minutes:g} processor minutes"
        return f"{self.trials} trial{'s' if self.trials > 1 else ''}{limit}"


class Try(Config):
    """One setting, learnt from the training part and judged on validation."""

    settings: dict[str, Any]
    """By dotted key, those of the search space."""
    value: float | None
    """Validation NDCG@5, an unscored case counting 0; null when the method refused the setting."""
    seconds: float
    """Fitting and validating, of the processor; 0 for a repeat."""
    problem: str = ""
    """Why it was refused."""
    repeats: int | None = None
    """The earlier try with the very same settings, whose value this one takes."""


class Tuning(Config):
    """How the settings of a result came about."""

    metric: str = CHOSEN_BY
    """What was compared, on the validation cases."""
    budget: Budget
    space: dict[str, str]
    """Key to ends, in words."""
    tries: tuple[Try, ...] = Field(min_length=1)
    """In order; the first is the setting that the method came with."""
    winner: int
    """The best of them, the earliest among equals."""

    @property
    def identity(self) -> list[Any]:
        """What makes two tunings of one method the same undertaking."""
        return [self.budget.model_dump(mode="json"), self.space]

    @property
    def seconds(self) -> float:
        return sum(attempt.seconds for attempt in self.tries)


def best_try(tries: Sequence[Try]) -> int:
    """The row of the highest value, the earliest among equals."""
    values = [-1.0 if attempt.value is None else attempt.value for attempt in tries]
    return values.index(max(values))
