"""What a decoder finds among a run's parts."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from unimp.core.config import Config
from unimp.core.errors import ConfigError
from unimp.inference.score_sources import FusionWeights, ScoreSources, SourceWeight
from unimp.tasks.decoding import DecoderParts
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.train.bench_method import UnimpMethodConfig


class SomeSection(Config):
    number: int = 1


def parts(tasks: tuple[Any, ...] = (), **settings: Any) -> DecoderParts:
    """With nothing to read: only what is looked up here."""
    nothing = cast(Any, None)
    sources = ScoreSources(np.ones(2, dtype=np.float32))
    return DecoderParts(tasks, nothing, nothing, nothing, nothing, sources, **settings)


def test_a_section_is_the_recipes_own_or_its_defaults() -> None:
    own = parts(configs=(UnimpMethodConfig(recipe="demo"), SomeSection(number=7)))
    assert own.config(SomeSection).number == 7
    assert own.config(UnimpMethodConfig).recipe == "demo"
    assert parts().config(SomeSection).number == 1


def test_weights_are_by_the_tasks_name() -> None:
    chosen = FusionWeights(shares={"log": SourceWeight(weight=2.0)})
    found = parts(fusion_weights={RatingTask.name: chosen})
    task = cast(Any, RatingTask)
    assert found.weights(task) == chosen
    assert found.weights(cast(Any, RecommendationTask)) == FusionWeights()


def test_a_task_is_the_checkpoints_own_or_what_it_has_is_said() -> None:
    own = object.__new__(RatingTask)
    found = parts((own,))
    assert found.task(RatingTask) is own
    assert found.find(RecommendationTask) is None
    with pytest.raises(ConfigError, match="without the task recommendation; it has: rating"):
        found.task(RecommendationTask)


def test_a_decoder_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(RatingTask, "decoder", lambda self, parts: made.append(self) or made)
    own = object.__new__(RatingTask)
    found = parts((own,))
    assert found.decoder_of(RatingTask) is made
    assert found.decoder(own) is made
    assert made == [own]
    assert found.decoder_of(RecommendationTask) is None
