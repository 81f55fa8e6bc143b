"""UniMP under the benchmark's contract: the same promises as every baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from unimp.baselines import MethodEntry
from unimp.cli.bench import all_methods
from unimp.core.errors import ConfigError
from unimp.fusion.with_validation import with_validation
from unimp.testing.rankers import RankerContract
from unimp.testing.world import the_world
from unimp.train.bench_method import UnimpMethod, UnimpMethodConfig


class TestUnimp(RankerContract):
    """A narrow model of a few epochs on the toy world, its structure mixed in."""

    entry: ClassVar[MethodEntry | None] = all_methods()["unimp"]
    settings: ClassVar[dict[str, Any]] = {
        "fusion_weights": True,
        "settings": {
            "model": {"width": 32, "hidden": 64, "dropout": 0.1, "input_dropout": 0.1},
            "train": {"epochs": 15, "lr": 5e-3, "batch_positions": 512, "threads": 1},
            "structure": {"kind": "cosine", "neighbours": 20},
        },
    }
    floor = 0.5
    order_matters = True


def test_it_learns_again_from_all_events() -> None:
    training = the_world().training
    brief = {"train": {"epochs": 3, "patience": 3, "threads": 1}, "model": {"width": 16, "hidden": 32}}
    method = TestUnimp.entry.make({"settings": brief}) if TestUnimp.entry else None
    assert isinstance(method, UnimpMethod)
    method.fit(training, seed=0)
    log = with_validation(training.train, training.valid)
    again = method.refitted(replace(training, train=log, valid=training.valid.select(np.arange(0))), seed=0)
    assert again.config.settings["train"]["epochs"] == method.best_epoch
    assert again.best_epoch == method.best_epoch
    assert again.ranker is not None
    counts = np.bincount(log.item_rows, minlength=len(training.catalog))
    np.testing.assert_array_equal(again.ranker.sources.popularity, counts)
    assert np.isfinite(again.score(training.valid.histories)).all()


def test_a_finished_run_does_not_learn_again() -> None:
    method = UnimpMethod(UnimpMethodConfig(run="somewhere"))
    with pytest.raises(ConfigError, match="does not learn again; leave it out"):
        method.refitted(the_world().training, seed=0)
