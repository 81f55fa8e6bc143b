"""Batches laid out in the background: the same order, the same weights, no thread left behind."""

from __future__ import annotations

import json
import threading
from itertools import count, islice
from pathlib import Path

import pytest
import torch

from tests.train.conftest import tiny_recipe
from unimp.core.errors import ConfigError
from unimp.core.files import read_tensors
from unimp.data.dataset import Dataset
from unimp.train import step, trainer, training_run
from unimp.train.prefetch import prefetch
from unimp.train.state import Position
from unimp.train.step import check_compute
from unimp.train.training_run import train


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_order_stays_and_no_more_is_made_than_asked_for() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return -number

    assert list(prefetch(make, range(7))) == [0, -1, -2, -3, -4, -5, -6]
    assert list(prefetch(make, [])) == []
    made.clear()
    going = prefetch(make, count(), depth=2)
    assert list(islice(going, 3)) == [0, -1, -2]
    going.close()  # type: ignore[attr-defined]
    assert made == list(range(len(made)))
    assert len(made) <= 5
    assert not alive()


def test_an_error_comes_where_its_turn_is() -> None:
    def make(number: int) -> int:
        return 1 // (3 - number)

    going = prefetch(make, range(9))
    assert [next(going), next(going), next(going)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(going)
    assert not alive()


class Overlapping(trainer.Training):
    """As on a CUDA device, without pinned memory."""

    def run(self) -> Position:
        self.overlaps = True
        return super().run()


def test_training_ends_with_the_same_weights(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(train={"epochs": 2})
    train(tiny_dataset, recipe, tmp_path / "line", show=False)
    monkeypatch.setattr(training_run, "Training", Overlapping)
    train(tiny_dataset, recipe, tmp_path / "ahead", show=False)
    line, other = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in ("line", "ahead"))
    assert all(torch.equal(line[name], other[name]) for name in line)
    assert not alive()


def test_the_log_says_how_much_is_padding(tiny_dataset: Dataset, tmp_path: Path) -> None:
    """Alone in its batch, a sentence has none."""
    for positions in (1, 512):
        recipe = tiny_recipe(train={"epochs": 1, "batch_positions": positions})
        train(tiny_dataset, recipe, tmp_path / str(positions), show=False)
    rows = [json.loads((tmp_path / name / "log.jsonl").read_text()) for name in ("1", "512")]
    assert rows[0]["padding"] == 0
    assert 0 < rows[1]["padding"] < 0.5


@pytest.mark.parametrize(("key", "value"), [("compile", True), ("precision", "bfloat16")])
def test_ways_of_computing_that_are_not_there(key: str, value: object) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    chosen = tiny_recipe(train={key: value})
    check_compute(tiny_recipe(), cpu)
    check_compute(chosen, cuda)
    with pytest.raises(
        ConfigError, match=rf"train.{key} = .*: is for CUDA devices, this one is cpu; leave it"
    ):
        check_compute(chosen, cpu)
    with pytest.raises(ConfigError, match=rf"compact decoder; set backbone.{key} = .* instead"):
        check_compute(tiny_recipe(train={key: value}, backbone={"name": "x"}), cuda)


def test_a_step_that_does_not_fit_says_what_makes_it_smaller(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step, "read", full)
    with pytest.raises(ConfigError, match=r"train.batch_positions 128: a step of \d+ sentences .* lower"):
        train(tiny_dataset, tiny_recipe(), tmp_path / "run", show=False)


def test_short_precision_learns_and_keeps_long_weights(tiny_dataset: Dataset, tmp_path: Path) -> None:
    """What a CUDA device computes, by the CPU's autocast."""
    from unimp.runs.training_split import TrainingSplit, make_split
    from unimp.train.preparation import build_artifacts

    cpu, recipe = torch.device("cpu"), tiny_recipe(model={"dropout": 0.0, "input_dropout": 0.0})
    training_split = TrainingSplit.of(tiny_dataset, make_split(tiny_dataset, recipe.train.split))
    artifacts = build_artifacts(training_split, recipe, device=cpu, show_progress=False)
    losses: list[float] = []
    for short in (False, True):
        training = trainer.Training(tmp_path, artifacts, training_split, cpu, show=False)
        training.step.short = short
        turn = training._step_batch(next(training._step_batches(training.sentences.plan(0))))
        losses += [float(training._step(turn).total.detach()) for _ in range(5)]
        assert all(tensor.dtype != torch.bfloat16 for tensor in training.model.state_dict().values())
    assert losses[9] < losses[5]
    assert losses[:5] != losses[5:]
    assert losses[:5] == pytest.approx(losses[5:], rel=0.05)
