"""`train.refit`: the model that answers has learned from the validation items too, and from no test item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.conftest import tiny_recipe
from unimp.core.errors import ConfigError
from unimp.data.dataset import Dataset
from unimp.evaluate.evaluation import evaluate_run
from unimp.runs.open_run import open_run
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.train.process_group import ProcessGroup
from unimp.train.refit import split_with_validation
from unimp.train.training_run import train


def test_the_grown_log_has_the_ratings_of_the_table(tiny_dataset: Dataset) -> None:
    split = make_split(tiny_dataset, "leave-one-out")
    grown = split_with_validation(TrainingSplit.of(tiny_dataset, split))
    assert len(grown.valid) == 0
    assert grown.train.num_events == split.train.num_events + len(split.valid)
    before_test = split.test.histories  # each ends with the validation item, as the table has it
    order = np.argsort(grown.train.user_ids)
    whole, expected = grown.train.select(order), before_test.select(np.argsort(before_test.user_ids))
    np.testing.assert_array_equal(whole.item_rows, expected.item_rows)
    np.testing.assert_array_equal(whole.ratings, expected.ratings)


def test_a_run_answers_by_the_model_that_learned_again(tiny_dataset: Dataset, tmp_path: Path) -> None:
    plain = train(tiny_dataset, tiny_recipe(), tmp_path / "plain", show=False)
    result = train(tiny_dataset, tiny_recipe(train={"refit": True}), tmp_path / "refit", show=False)
    assert result["mixtures"] == plain["mixtures"]
    first, again = open_run(tmp_path / "plain"), open_run(tmp_path / "refit")
    events = [int(run.artifacts.popularity.sum()) for run in (first, again)]
    split = make_split(tiny_dataset, "leave-one-out")
    assert events == [split.train.num_events, split.train.num_events + len(split.valid)]
    scores = [run.answerer.decoder(RecommendationTask).score(split.test.histories) for run in (first, again)]
    assert not np.allclose(*scores)
    assert evaluate_run(again, show=False)["tasks"]["recommendation"]["cases"] == len(split.test)
    with pytest.raises(ConfigError, match="learned from those items too"):
        evaluate_run(again, split_name="valid", show=False)


def test_killed_while_it_learned_again_it_goes_on(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(train={"refit": True, "checkpoint_seconds": 1e-9})
    train(tiny_dataset, recipe, tmp_path / "whole", show=False)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("unimp.train.training_run.with_search", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_dataset, recipe, tmp_path / "killed", show=False)
    train(tiny_dataset, recipe, tmp_path / "killed", show=False)
    whole, parts = (open_run(tmp_path / name).model.state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_several_processes_are_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    group = ProcessGroup()
    group.size = 2
    with pytest.raises(ConfigError, match="is for one process"):
        train(
            tiny_dataset,
            tiny_recipe(train={"refit": True}),
            tmp_path / "run",
            process_group=group,
            show=False,
        )
