"""Drawings are judged too where no attribute can be read from the catalogue's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from tests.six import Six
from unimp.answer import Query
from unimp.core.errors import ConfigError, DataError
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import Histories
from unimp.evaluate.evaluation import evaluate_run
from unimp.features.vision import contrastive
from unimp.tasks.image_generation.picture_judge import PictureJudge
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.task import RatingTask


class KnowsTheTarget:
    """Draws the picture of each user's target, or its negative."""

    def __init__(self, six: Six, judge: PictureJudge, *, right: bool) -> None:
        cases = six.split.test
        self.target = dict(zip(cases.histories.user_ids.tolist(), cases.target_rows.tolist(), strict=True))
        self.judge, self.right = judge, right

    def imagine(self, histories: Histories, queries: Sequence[Query], seed: int) -> npt.NDArray[np.uint8]:
        real = self.judge.pixels.values[[self.target[name] for name in histories.user_ids.tolist()]]
        return np.asarray(real if self.right else 255 - real)


def without_categories(catalog: Catalog) -> Catalog:
    """Every category as mere text: no label can be learned."""
    return replace(catalog, attributes=tuple(Attribute(one.name, "text") for one in catalog.attributes))


@pytest.fixture
def task(six: Six, monkeypatch: pytest.MonkeyPatch) -> ImageGenerationTask:
    monkeypatch.setattr(contrastive, "MOST_STEPS", 4)
    shown = without_categories(six.dataset.catalog)
    plain: ImageGenerationTask = six.task("imagination")
    return plain.with_judge(six.answerer.parts, seed=0, shown=shown)


def test_the_target_itself_is_nearer_than_its_negative(six: Six, task: ImageGenerationTask) -> None:
    judge = task.judge
    assert judge is not None
    assert judge.attributes == ()
    cases = six.split.test
    right, wrong = (task.score(KnowsTheTarget(six, judge, right=right), cases) for right in (True, False))
    assert right.metrics["likeness"] == pytest.approx(1.0, abs=1e-5)
    assert right.metrics["FID"] == pytest.approx(0.0, abs=1e-4)
    assert wrong.metrics["FID"] > right.metrics["FID"]
    assert wrong.metrics["likeness"] < 0.99
    assert not any(name.startswith("agreement") for name in right.metrics)
    assert right.values_of == "likeness"
    assert right.values is not None
    assert np.nanmean(right.values) == pytest.approx(1.0, abs=1e-5)


def test_the_report_says_that_nothing_is_read(task: ImageGenerationTask) -> None:
    assert "no attribute can be read" in str(task.judge_note())
    assert not any(name.startswith("judge-accuracy") for name in task.judge_facts())


def test_a_judge_that_reads_needs_no_note(six: Six) -> None:
    judged = six.task("imagination").with_judge(six.answerer.parts, seed=0)
    assert judged.judge.attributes
    assert judged.judge_note() is None


def test_a_missing_judge_is_found_before_any_answer(six: Six, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_answers(*_: Any, **__: Any) -> None:
        raise AssertionError("a task was scored before every judge was there")

    def no_judge(*_: Any, **__: Any) -> None:
        raise ConfigError("imagination: the catalogue's pictures are gone; put them back")

    monkeypatch.setattr(RatingTask, "score", no_answers)
    monkeypatch.setattr(ImageGenerationTask, "with_judge", no_judge)
    run = SimpleNamespace(
        artifacts=six.artifacts,
        refitted=False,
        dataset=six.dataset,
        exclude_history=True,
        model=six.model(),
        weights_by_task={},
    )
    with pytest.raises(ConfigError, match="put them back"):
        evaluate_run(cast(Any, run), tasks=["rating", "imagination"], show=False)


def test_other_faults_of_the_catalogue_are_not_hidden(six: Six, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise DataError("item 3: its picture cannot be read")

    monkeypatch.setattr("unimp.tasks.image_generation.picture_judge.load_pixels", gone)
    with pytest.raises(DataError, match="item 3"):
        six.task("imagination").with_judge(six.answerer.parts, seed=0)
