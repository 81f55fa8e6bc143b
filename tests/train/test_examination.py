"""What validation watches: every headline, and one score of them all."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.six import Six
from unimp.inference.forward import read
from unimp.sentence.encoder import Kind
from unimp.sentence.training_batch import collate_with_targets
from unimp.train.validator import Validator, combined, sample


def test_the_score_is_the_geometric_mean_of_what_is_known() -> None:
    assert combined([0.3]) == 0.3
    assert combined([0.1, 0.4]) == pytest.approx(0.2)
    assert combined([0.1, math.nan, 0.4]) == pytest.approx(0.2)
    assert combined([math.nan, 0.4]) == 0.4
    assert combined([0.0, 1.0]) == pytest.approx(1e-3)  # a zero does not wipe out the rest
    assert combined([]) == combined([math.nan]) == 0.0
    # A relative gain counts the same in every task.
    assert combined([0.2, 0.9]) / combined([0.1, 0.9]) == pytest.approx(2**0.5)


def test_marks_of_all_tasks(six: Six) -> None:
    marks = Validator(six.artifacts, six.split.valid).validation_scores(six.model())
    headlines = [
        *("recommendation/NDCG@5", "search/NDCG@5", "rating/RMSE", "explanation/likelihood"),
        *("selection/accuracy", "imagination/likelihood"),
    ]
    assert set(headlines) <= set(marks.metrics)
    values = [marks.metrics[name] for name in headlines]
    values[2] = 1.0 / values[2]  # lower is better
    assert marks.score == pytest.approx(combined(values))
    assert marks == Validator(six.artifacts, six.split.valid).validation_scores(six.model())


def test_likelihood_is_that_of_the_answers_words(six: Six) -> None:
    """The mean over all words of all exams, each read by itself."""
    model, task, cases = six.model(), six.task("explanation"), six.split.valid
    state, vocabulary = model.item_state(six.artifacts.items), six.artifacts.vocabulary
    losses: list[float] = []
    with torch.inference_mode():
        for likelihood_examples in task.likelihood_examples(cases):
            batch = collate_with_targets([six.artifacts.encoder.encode(likelihood_examples)])
            hidden = read(model, state, batch)[0]
            for position, label, kind in zip(
                batch.token_targets.positions.tolist(),
                batch.token_targets.labels[:, 0].tolist(),
                batch.token_targets.kinds.tolist(),
                strict=True,
            ):
                assert kind == Kind.WORD
                logits = model.token_logits(hidden[position], 0, vocabulary.first_code)
                losses.append(-float(torch.log_softmax(logits, dim=-1)[label]))
    found = Validator(six.artifacts, cases).likelihood(model, state, task, cases)
    assert found == pytest.approx(math.exp(-np.mean(losses)), rel=1e-4)


def test_the_same_users_are_watched(six: Six) -> None:
    valid = six.split.valid
    few = sample(valid, 10, seed=3)
    assert len(few) == 10
    assert few.target_events.tolist() == sample(valid, 10, seed=3).target_events.tolist()
    assert few.target_events.tolist() != sample(valid, 10, seed=4).target_events.tolist()
    assert sample(valid, 1000, seed=3) is valid
