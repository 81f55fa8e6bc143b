"""Where the model looks when it begins to explain."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Histories
from unimp.inference.attention_maps import AttentionMap, attention_maps
from unimp.tasks.explanation.decoder import ModelExplainer


def explanation_attention_map(
    explainer: ModelExplainer, histories: Histories, item_row: int
) -> AttentionMap | None:
    """Where the first word of an explanation looks; None when it sees no picture."""
    rater = explainer.rater
    likely = rater.levels[rater.distribution(histories, np.array([item_row]))[0].argmax()]
    question = explainer.task.question(histories, 0, item_row, float(likely))
    sentence = rater.encoder.encode(question)
    return attention_maps(rater.model, rater.state, sentence).get(len(sentence) - 1)
