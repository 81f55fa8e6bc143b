"""The fusion weights of all tasks of a checkpoint, chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unimp.data.histories import Cases
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import FittedWeights
from unimp.tasks.decoding import DecoderParts
from unimp.tasks.task import AnyTask


def fit_fusion_weights(
    parts: DecoderParts, valid: Cases, config: StructureConfig
) -> dict[str, FittedWeights]:
    """Task name -> its weights, for tasks that have sources of scores.

    A task is fitted after those whose decoders its own uses, with the weights found for them. The model runs
    once per task: every trial uses its scores again.
    """
    found: dict[str, FittedWeights] = {}
    for task in in_order(parts.tasks):
        weights = {name: fitted.fusion_weights for name, fitted in found.items()}
        decoder = replace(parts, fusion_weights=weights, _decoders={}).decoder(task)
        fitted = task.fit_fusion(decoder, valid, config)
        if fitted is not None:
            found[task.name] = fitted
    return found


def in_order(tasks: Sequence[AnyTask]) -> list[AnyTask]:
    """Every task after those that it takes from, otherwise in the order given."""
    left, ordered = list(tasks), []
    while left:
        waiting = {task.name for task in left}
        # A circle of tasks that take from each other is broken at its first.
        ready = next((task for task in left if not waiting & set(task.takes_from)), left[0])
        left.remove(ready)
        ordered.append(ready)
    return ordered
