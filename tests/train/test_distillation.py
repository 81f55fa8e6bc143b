"""The teacher: what it speaks from, and how its targets stand beside the right answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.conftest import tiny_recipe
from unimp.core.errors import ConfigError
from unimp.core.files import read_tensors
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Histories
from unimp.data.splits import leave_one_out
from unimp.features.item_graph import ease_graph
from unimp.fusion.features import Features
from unimp.runs.training_config import DistillationConfig
from unimp.runs.training_split import TrainingSplit
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.targets import TokenTargets
from unimp.tasks.windows import Window
from unimp.train import distillation, trainer
from unimp.train.distillation import SoftTargets, soft_targets, teach
from unimp.train.training_run import train

FOLDS = 3


def test_targets_by_hand() -> None:
    """Users of 3 and 2 events, the first read from its second event on; two right answers each."""
    teacher = SoftTargets(
        torch.tensor([[9, 8], [7, 6], [5, 4], [3, 2], [1, 0]], dtype=torch.int32),
        torch.tensor([[0.75, 0.25]]).repeat(5, 1),
        np.array([0, 3, 5]),
        share=0.4,
    )
    targets = TokenTargets(
        torch.tensor([0, 1, 3, 4]),
        torch.tensor([[11, 12], [12, 12], [13, 14], [14, 14]]),
        torch.tensor([[0.6, 0.4], [1.0, 0.0], [0.6, 0.4], [1.0, 0.0]]),
        torch.full((4,), int(Kind.ITEM)),
        torch.full((4,), int(Role.ANSWER)),
        torch.ones(4),
    )
    windows = (Window(0, 1, 3), Window(1, 0, 2))
    found = teacher.added(targets, windows, torch.tensor([3, 3]), 3)
    assert found.positions.tolist() == [0, 1, 3, 4, 2, 5]
    # Behind events 0, 1, (2, another user's: no part) and 3; then behind the last events of both.
    assert found.labels[:, 2:].tolist() == [[9, 8], [7, 6], [5, 4], [3, 2], [5, 4], [1, 0]]
    mixed = [[0.36, 0.24, 0.3, 0.1], [0.6, 0.0, 0.3, 0.1], [0.6, 0.4, 0, 0], [0.6, 0.0, 0.3, 0.1]]
    assert found.parts[:4].numpy() == pytest.approx(np.array(mixed), abs=1e-6)
    assert found.parts[4:].tolist() == [[0, 0, 0.75, 0.25]] * 2
    assert found.labels[:4, :2].tolist() == targets.labels.tolist()
    assert len(found.kinds) == len(found.roles) == len(found.shares) == 6


def test_the_middle_of_a_long_history_has_no_end() -> None:
    teacher = SoftTargets(
        torch.arange(6, dtype=torch.int32).view(6, 1), torch.ones(6, 1), np.array([0, 6]), 0.5
    )
    targets = TokenTargets(
        torch.tensor([0, 1]), torch.tensor([[3], [4]]), torch.ones(2, 1), *(torch.ones(2),) * 3
    )
    found = teacher.added(targets, (Window(0, 2, 4),), torch.tensor([3]), 3)
    assert found.positions.tolist() == [0, 1]
    assert found.labels.tolist() == [[3, 1], [4, 2]]  # after events 1 and 2


@pytest.fixture
def split(tiny_dataset: Dataset) -> TrainingSplit:
    histories = tiny_dataset.interactions.histories
    return TrainingSplit.of(tiny_dataset, leave_one_out(histories, len(tiny_dataset.catalog)))


def only_ease(features: Features, histories: Histories, *, exclude: bool) -> FloatArray:
    """Weights under which the teacher is EASE."""
    return np.array([name.endswith("(linear model): sum") for name in features.names], dtype=np.float32)


def test_relations_are_counted_without_the_users_fold(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "fit_teacher", only_ease)
    config = DistillationConfig(share=0.5, items=4, folds=FOLDS, l2=2.0)
    items, parts = teach(split.catalog, split.train, config, exclude=True)
    assert parts.sum(axis=1) == pytest.approx(1, abs=1e-5)
    num_items = len(split.catalog)
    for fold in range(FOLDS):
        others = split.train.select([user for user in range(len(split.train)) if user % FOLDS != fold])
        graph = ease_graph(others, num_items, l2=2.0)
        user = fold + FOLDS  # any of the fold
        for known in range(1, int(split.train.lengths[user]) + 1):
            history = split.train.slice(user, user + 1).first(known)
            scores = 64 * graph.score(history)[0]
            scores[history.item_rows] = -np.inf
            row = split.train.offsets[user] + known - 1
            best = np.sort(scores)[::-1][:4]
            odds = np.exp(best - best[0])
            assert scores[items[row]] == pytest.approx(best, abs=1e-4)
            assert parts[row] == pytest.approx(odds / odds.sum(), abs=1e-4)


def test_a_later_event_of_a_user_changes_no_earlier_target(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "fit_teacher", only_ease)
    config = DistillationConfig(share=0.5, items=5, folds=FOLDS)
    first, last = split.train.offsets[1], split.train.offsets[2] - 1
    rows = split.train.item_rows.copy()
    rows[last] = (rows[last] + 7) % len(split.catalog)
    before = teach(split.catalog, split.train, config, exclude=True)
    after = teach(split.catalog, replace(split.train, item_rows=rows), config, exclude=True)
    assert after[0][first:last].tolist() == before[0][first:last].tolist()
    assert np.array_equal(after[1][first:last], before[1][first:last])
    assert not np.array_equal(after[1][last], before[1][last])  # behind the changed event it may


def test_it_knows_more_than_chance_and_is_made_once(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DistillationConfig(share=0.5, items=3)
    teacher = soft_targets(split, config)
    assert teacher is not None
    train = split.train
    follows = np.flatnonzero(train.owners()[1:] == train.owners()[:-1])
    hits = [train.item_rows[event + 1] in teacher.items[event] for event in follows]
    assert np.mean(hits) > 0.5  # of 20 items on a ring, 3 by chance: .15
    monkeypatch.setattr(distillation, "teach", None)
    again = soft_targets(split, config.changed(share=0.7))
    assert again is not None
    assert torch.equal(again.items, teacher.items)
    assert torch.equal(again.parts, teacher.parts)


def test_items_without_events_are_no_targets_where_the_loss_does_not_look(split: TrainingSplit) -> None:
    never = int(split.train.item_rows[0])
    keep = split.train.item_rows != never
    owners = split.train.owners()[keep]
    thinned = Histories.from_owners(owners, split.train.item_rows[keep])
    config = DistillationConfig(share=0.5, items=19, folds=FOLDS)
    items, parts = teach(split.catalog, thinned, config, exclude=True, cold_items=False)
    assert not (items == never).any()
    assert parts.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_catalogue_that_is_too_large_is_refused(
    split: TrainingSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "DENSE_ITEMS", 19)
    with pytest.raises(ConfigError, match=r"distillation\.share: .* 19 items at most.* has 20; set it to 0"):
        soft_targets(split, DistillationConfig(share=0.5))
    assert soft_targets(split, DistillationConfig()) is None


def test_a_sampled_softmax_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    recipe = tiny_recipe(distillation={"share": 0.5}, objective={"softmax": "sampled"})
    with pytest.raises(ConfigError, match=r'distillation\.share: .* set objective\.softmax = "full", or'):
        train(tiny_dataset, recipe, tmp_path / "run", show=False)


def test_resume_after_a_kill_equals_an_uninterrupted_run(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(
        train={"epochs": 3, "checkpoint_seconds": 1e-9}, distillation={"share": 0.5, "items": 5}
    )
    train(tiny_dataset, recipe, tmp_path / "whole", show=False)
    step, steps = trainer.Training._step, [0]

    def killed(training: trainer.Training, step_batch: trainer.StepBatch) -> object:
        steps[0] += 1
        if steps[0] == 4:
            raise InterruptedError
        return step(training, step_batch)

    monkeypatch.setattr(trainer.Training, "_step", killed)
    with pytest.raises(InterruptedError):
        train(tiny_dataset, recipe, tmp_path / "killed", show=False)
    monkeypatch.setattr(trainer.Training, "_step", step)
    train(tiny_dataset, recipe, tmp_path / "killed", show=False)
    whole, resumed = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    plain = tiny_recipe(train={"epochs": 3})
    train(tiny_dataset, plain, tmp_path / "plain", show=False)
    other = read_tensors(tmp_path / "plain" / "model.safetensors")[0]
    assert not torch.equal(whole["items.identity.weight"], other["items.identity.weight"])
