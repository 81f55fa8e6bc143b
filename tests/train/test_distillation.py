"""How a teacher's targets stand beside the right answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.conftest import tiny_recipe
from unimp.core.errors import ConfigError
from unimp.core.files import read_tensors
from unimp.data.dataset import Dataset
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.targets import TokenTargets
from unimp.tasks.windows import Window
from unimp.train import trainer
from unimp.train.distillation import SoftTargets
from unimp.train.training_run import train


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
