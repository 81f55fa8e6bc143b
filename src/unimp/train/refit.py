"""What a run learns from when it learns once more (`train.refit`): everything but the test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unimp.data.histories import Histories
from unimp.fusion.with_validation import with_validation
from unimp.runs.training_split import TrainingSplit


def split_with_validation(split: TrainingSplit) -> TrainingSplit:
    """The validation items among the training events, with ratings; nothing is held out to choose by."""
    log = with_validation(split.train, split.valid)
    return replace(split, train=rated(log, split), valid=split.valid.select(np.arange(0)))


def rated(log: Histories, split: TrainingSplit) -> Histories:
    """`log` with the ratings that the interaction table has; cases do not carry those of their targets."""
    if split.events is None:
        return log
    known = split.events["rating"].cast(float).fill_null(np.nan).to_numpy().astype(np.float32)
    listed = log.event_rows >= 0
    ratings = log.ratings.copy()
    ratings[listed] = known[log.event_rows[listed]]
    return replace(log, ratings=ratings)
