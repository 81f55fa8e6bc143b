"""`[structure]` of a recipe: the item–item graphs, and the grids that fusion weights are chosen from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unimp.core.config import Config


class StructureConfig(Config):
    """Item–item scores mixed into the model's log-probabilities; validation chooses their shares."""

    kind: Literal["none", "cosine", "ease"] = "ease"
    """Which closed form of the log's co-occurrence; `none` leaves it out."""
    l2: float = Field(250.0, gt=0)
    """Ridge of EASE."""
    neighbours: int = Field(300, ge=1)
    """Largest entries kept per item."""
    content: bool = True
    """Use likeness of text as a second item–item score."""
    content_neighbours: int = Field(100, ge=1)
    """Closest items kept per item."""
    content_threshold: float = Field(0.5, ge=-1, lt=1)
    """Cosine of two items' text below which they are strangers."""
    weights: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
    """Weights of an item–item score tried on validation (0 is always among them)."""
    popularity_weights: tuple[float, ...] = (-0.4, -0.2, -0.1, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    """Weights of log popularity tried on validation."""
    rating_weights: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Shares of the closed-form rating factors in the mean, tried on validation (0 is always among them)."""
    recencies: tuple[float, ...] = (1.0, 0.9, 0.8, 0.6, 0.4)
    """Discounts per step back in the history, tried on validation."""
