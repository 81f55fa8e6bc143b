"""The fusion weights of selection."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Cases, FloatArray
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import BATCH, FittedWeights, coordinate_search, nothing_to_choose_by
from unimp.inference.score_sources import SourceWeight
from unimp.tasks.selection.decoder import ModelSelector, gathered
from unimp.tasks.selection.task import SelectionTask


def fit_selection(
    selector: ModelSelector, task: SelectionTask, valid: Cases, config: StructureConfig
) -> FittedWeights:
    """Selection: the best mean accuracy over choices among any others and among others of the category."""
    known = valid.select(np.flatnonzero(valid.target_rows >= 0))
    if not len(known):
        return nothing_to_choose_by()
    sets = [task.choices(known, hard=hard) for hard in (False, True)]
    rows = [row for choices in sets for row in choices.candidates]
    truth = np.array([int(places[0]) for choices in sets for places in choices.places])
    width = max(map(len, rows))
    alone = np.full((len(rows), width), -np.inf, dtype=np.float32)
    for turn in range(len(sets)):
        for start in range(0, len(known), BATCH):
            first = turn * len(known) + start
            batch = rows[first : min(first + BATCH, (turn + 1) * len(known))]
            scores, _ = selector.log_probabilities(known.histories.slice(start, start + BATCH), batch)
            alone[first : first + len(batch), : scores.shape[1]] = scores

    def unit(name: str, recency: float) -> FloatArray:
        scores = selector.sources.score(name, SourceWeight(weight=1.0, recency=recency), known.histories)
        half = len(known)
        return np.concatenate([gathered(scores, rows[:half], width), gathered(scores, rows[half:], width)])

    names = selector.sources.names(None)
    return coordinate_search(alone, names, unit, lambda s: float((s.argmax(axis=1) == truth).mean()), config)
