"""The order of training: how many sentences of each task, and what λ may change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.six import Six, six_recipe
from unimp.runs.artifacts import RunArtifacts
from unimp.tasks import TASKS
from unimp.train.batches import TrainingSentences, mixed_counts


def with_objective(six: Six, **objective: Any) -> RunArtifacts:
    from dataclasses import replace

    return replace(six.artifacts, recipe=six_recipe(objective=objective))


def test_mixing_by_hand() -> None:
    assert mixed_counts([100, 400], 1.0) == [100, 400]
    assert mixed_counts([100, 400], 2.0) == [167, 333]  # 10 : 20
    assert mixed_counts([1, 8, 27], 3.0) == [6, 12, 18]  # 1 : 2 : 3 of 36
    assert mixed_counts([100, 400], 1e9) == [250, 250]
    assert mixed_counts([0, 30], 1e9) == [0, 30]
    assert mixed_counts([7], 4.0) == [7]
    assert mixed_counts([0, 0], 1.0) == [0, 0]


def counts(sentences: TrainingSentences, epoch: int = 0) -> dict[str, int]:
    found = dict.fromkeys(TASKS, 0)
    for planned in sentences.plan(epoch):
        found[planned.task.name] += len(planned.sentences)
    return found


def test_temperature_shares_out_the_sentences(six: Six) -> None:
    train = six.split.train
    plain = counts(TrainingSentences(six.artifacts, train))
    mixed = counts(TrainingSentences(with_objective(six, temperature=1e6), train))
    assert plain["explanation"] > plain["recommendation"] == 60  # its sentences hold fewer events
    assert len(set(mixed.values())) == 1
    assert abs(sum(mixed.values()) - sum(plain.values())) < 6


def test_a_share_of_a_tasks_sentences_leaves_the_others_alone(six: Six) -> None:
    train, some = six.split.train, {"explanation": 0.25, "rating": 2.0, "selection": 0.0}
    whole = TrainingSentences(six.artifacts, train)
    shared = TrainingSentences(with_objective(six, sentences=some), train)
    for epoch in (0, 1):
        wanted = {name: round(n * some.get(name, 1.0)) for name, n in counts(whole, epoch).items()}
        assert counts(shared, epoch) == wanted


def test_a_batch_is_of_one_task_and_within_its_budget(six: Six) -> None:
    plan = TrainingSentences(six.artifacts, six.split.train).plan(0)
    for planned in plan:
        longest = max(map(len, planned.sentences))
        assert len(planned.sentences) == 1 or longest * len(planned.sentences) <= 512
    names = [planned.task.name for planned in plan]
    assert set(names) == set(TASKS)
    assert names != sorted(names, key=list(TASKS).index)  # the tasks' batches are mixed


def test_epochs_are_the_same_by_seed_and_number(six: Six) -> None:
    def tokens(sentences: TrainingSentences, epoch: int) -> list[tuple[str, list[int]]]:
        return [
            (planned.task.name, one.tokens.tolist())
            for planned in sentences.plan(epoch)
            for one in planned.sentences
        ]

    first, second = (TrainingSentences(six.artifacts, six.split.train) for _ in range(2))
    tokens(first, 0)  # what went before has no say
    assert tokens(first, 3) == tokens(second, 3)
    assert tokens(second, 3) != tokens(second, 4)


def test_a_constant_times_every_weight_changes_nothing(six: Six) -> None:
    """λ of 1, of 7 and of a tenth for every task alike: the same weights of the loss."""
    train = six.split.train
    found = []
    for scale in (1.0, 7.0, 0.1):
        sentences = TrainingSentences(
            with_objective(six, tasks={name: scale * (1 + place) for place, name in enumerate(TASKS)}), train
        )
        found.append(sentences.task_weights(sentences.plan(0)))
    for other in found[1:]:
        assert other == pytest.approx(found[0])
    plan = TrainingSentences(six.artifacts, train).plan(0)
    assert sum(found[0][planned.task.name] for planned in plan) / len(plan) == pytest.approx(1.0)
    assert found[0]["search"] / found[0]["recommendation"] == pytest.approx(2.0)


def test_equal_weights_are_one(six: Six) -> None:
    sentences = TrainingSentences(with_objective(six, tasks=dict.fromkeys(TASKS, 5.0)), six.split.train)
    assert sentences.task_weights(sentences.plan(0)) == pytest.approx(dict.fromkeys(TASKS, 1.0))


def test_only_recommendation_looks_further_ahead(six: Six) -> None:
    sentences = TrainingSentences(with_objective(six, horizon=3), six.split.train)
    for planned in sentences.plan(0):
        wide = sentences.batch(planned).item_targets.labels.shape[1]
        assert wide == (3 if planned.task.name == "recommendation" else 1)


def test_a_large_log_is_batched_by_estimated_lengths_and_keeps_few_sentences(
    six: Six, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unimp.train import batches

    exact = TrainingSentences(six.artifacts, six.split.train)
    monkeypatch.setattr(batches, "KEPT", 20)
    monkeypatch.setattr(batches, "SAMPLE", 15)
    large = TrainingSentences(six.artifacts, six.split.train)
    task = six.task("recommendation")
    windows = task.windows(six.split.train, 50, np.random.default_rng(0))
    assert len(windows) > 20
    true = np.array([len(exact.encode(task, window)) for window in windows])
    estimated = large.lengths(task, windows)
    assert np.corrcoef(true, estimated)[0, 1] > 0.9
    plan = large.plan(0)
    assert len(large._encoded) + len(large._of_epoch) == 20
    # Every sentence is there once, whatever it was taken to be long.
    spoken = [window for planned in plan if planned.task is task for window in planned.windows]
    assert sorted(spoken, key=lambda window: window.user) == windows
    assert {len(one) for planned in plan for one in planned.sentences} >= set(true.tolist())
