"""`[structure]` of a recipe: the item–item graphs, and the grids that fusion weights are chosen from."""

from __future__ import annotations

from unimp.features.item_graph import GraphConfig


class StructureConfig(GraphConfig):
    """Item–item scores (EASE or cosine of the log, similarity of text) and popularity, added to the model's
    log-probabilities. Validation chooses the weight of each, task by task, after training."""

    weights: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
    """Weights of an item–item score that validation tries beside 0."""
    popularity_weights: tuple[float, ...] = (-0.4, -0.2, -0.1, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    """Weights of log popularity that validation tries beside 0."""
    rating_weights: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Shares of the closed-form rating factors in a predicted rating that validation tries beside 0."""
    recencies: tuple[float, ...] = (1.0, 0.9, 0.8, 0.6, 0.4)
    """Discounts per step back in the history that validation tries."""
