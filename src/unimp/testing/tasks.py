"""The contract of a task, on the generated shop and a small model of random weights."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from pydantic import TypeAdapter

from unimp.core.errors import ConfigError, DataError
from unimp.data.histories import Cases, Histories
from unimp.tasks import TASKS
from unimp.tasks.forms import batch_fields, request_fields
from unimp.tasks.requests import TaskRequest
from unimp.tasks.task import AnyTask, TaskScore

if TYPE_CHECKING:
    from unimp.inference.decoder import Decoder
    from unimp.runs.answerer import Answerer

RECIPE: dict[str, Any] = {
    "sentence": {"fields": ["category"]},
    "tokenizer": {"size": 400},
    "content": {"text": 8},
    "vision": {"height": 16, "picture_width": 16, "width": 8, "pretrain_epochs": 1},
    "image_tokenizer": {
        "enabled": True,
        "height": 16,
        "picture_width": 16,
        "reduction": 8,
        "levels": (4, 4),
        "channels": 16,
        "blocks": 1,
        "epochs": 1,
    },
    "model": {"width": 16, "layers": 1, "heads": 2, "hidden": 32},
    "structure": {"kind": "cosine", "neighbours": 10},
    "train": {"threads": 1},
}
FEW = 12
"""Held-out cases that are scored."""


@dataclass(frozen=True)
class PreparedTask:
    """A task of a checkpoint that is ready to answer."""

    task: AnyTask
    answerer: Answerer
    train: Histories
    cases: Cases
    item_ids: Sequence[str]

    @property
    def decoder(self) -> Decoder:
        return self.answerer.decoders[self.task.name]


class TaskContract:
    """What every task promises. A test file inherits it, names the task and gives a request's fields.

    class TestRating(TaskContract):
        task = "rating"

        def fields(self, item_ids):
            return {"item": item_ids[0]}
    """

    task: ClassVar[str]
    """Name in `TASKS`."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Tasks of the same checkpoint."""
    has_references: ClassVar[bool] = True
    """False for a task without references, or whose judge takes too long to train here."""

    def fields(self, item_ids: Sequence[str]) -> dict[str, Any]:
        """A request's own fields, about the first of these items."""
        return {}

    @pytest.fixture
    def prepared(self) -> PreparedTask:
        return prepare_task(self.task, self.beside)

    def request_of(self, prepared: PreparedTask, first: int = 0, **who: Any) -> TaskRequest:
        return prepared.task.Request.parse(self.fields(prepared.item_ids[first:]) | who)

    def answers(self, prepared: PreparedTask, requests: Sequence[TaskRequest]) -> list[Any]:
        """Answers to users with histories of 3, 0 and 5 items, again and again."""
        histories = Histories.from_lists([[5, 9, 30], [], [1, 2, 3, 40, 41]] * len(requests))
        chosen = histories.select(list(range(len(requests))))
        return prepared.answerer.answer(prepared.task, chosen, requests)

    def test_it_says_what_it_is(self) -> None:
        task = TASKS[self.task]
        assert task.name == self.task
        assert "\n" not in task.summary
        assert task.summary.strip()
        assert " " not in task.command
        others = [TASKS[name] for name in TASKS if name != self.task]
        for taken in (task.words, task.command, *task.aliases):
            assert not [
                task_class.name
                for task_class in others
                if taken in {task_class.words, task_class.command, *task_class.aliases}
            ]
        assert task.Request not in {task_class.Request for task_class in others}

    def test_requests_are_described_and_strict(self, prepared: PreparedTask) -> None:
        request = TASKS[self.task].Request
        assert request.__doc__
        assert request.model_validate(request.example())
        for field in request_fields(request):
            assert field.help, f"{field.name}: write a docstring under the field"
        assert len({flag for field in request_fields(request) for flag in field.form.flags}) == sum(
            len(field.form.flags) for field in request_fields(request)
        )
        with pytest.raises(ConfigError, match="unknown field"):
            request.parse(self.fields(prepared.item_ids) | {"no such field": 1})
        with pytest.raises(ConfigError, match="either a user or a history"):
            self.request_of(prepared, user="ann", history=())
        asked = self.request_of(prepared)
        assert request.model_validate_json(asked.model_dump_json()) == asked

    def test_required_fields_can_be_given_by_a_batch(self) -> None:
        request = TASKS[self.task].Request
        needed = {field.name for field in request_fields(request) if field.required}
        assert needed <= {field.name for field in batch_fields(request)}

    def test_sentences_ask_something_and_are_the_same_again(self, prepared: PreparedTask) -> None:
        task, encoder = prepared.task, prepared.answerer.parts.encoder
        windows = task.windows(prepared.train, 20, np.random.default_rng(0))
        assert windows == task.windows(prepared.train, 20, np.random.default_rng(0))
        assert windows
        for window in windows[:20]:
            assert 0 <= window.start < window.stop <= prepared.train.lengths[window.user]
            first = task.sentence(prepared.train, window)
            assert first == task.sentence(prepared.train, window)
            assert len(encoder.encode(first)) > 0

    def test_answers_are_typed_and_can_be_written(self, prepared: PreparedTask) -> None:
        requests = [self.request_of(prepared, first) for first in range(3)]
        answers = self.answers(prepared, requests)
        assert [type(answer) for answer in answers] == [prepared.task.Answer] * 3
        assert is_dataclass(prepared.task.Answer)
        assert [len(answer.history) for answer in answers] == [3, 0, 5]
        assert [answer.cold_start for answer in answers] == [False, True, False]
        assert answers[0].history == tuple(prepared.item_ids[row] for row in (5, 9, 30))
        example = prepared.task.answer_example
        for answer in answers:
            written = TypeAdapter(prepared.task.Answer).dump_python(answer, mode="json")
            assert set(example) == set(written)
            assert all(isinstance(line, str) for line in prepared.task.lines(answer))
            assert bool(prepared.task.files(answer)) == prepared.task.makes_files
        columns = prepared.task.columns(answers)
        assert columns
        assert {len(column) for column in columns} == {3}

    def test_other_requests_change_no_answer(self, prepared: PreparedTask) -> None:
        requests = [self.request_of(prepared, first) for first in range(3)]
        adapter = TypeAdapter(prepared.task.Answer)
        together = [adapter.dump_python(answer, mode="json") for answer in self.answers(prepared, requests)]
        histories = Histories.from_lists([[5, 9, 30], [], [1, 2, 3, 40, 41]])
        for place, request in enumerate(requests):
            (alone,) = prepared.answerer.answer(prepared.task, histories.slice(place, place + 1), [request])
            assert_alike(adapter.dump_python(alone, mode="json"), together[place])

    def test_an_unknown_item_is_named(self, prepared: PreparedTask) -> None:
        fields = self.fields(["no such item", *prepared.item_ids])
        request = prepared.task.Request.parse(fields)
        if "no such item" not in str(fields):
            assert request.item_ids == ()
            return
        with pytest.raises(DataError, match='unknown item "no such item"'):
            prepared.task.check(request)

    def test_the_decoder_answers_the_same_from_the_same_items(self, prepared: PreparedTask) -> None:
        answerer, request = prepared.answerer, self.request_of(prepared)
        again = answerer.with_items(answerer.state, answerer.sources).heeding(lambda: None)
        histories = Histories.from_lists([[5, 9, 30]])
        first, second = (
            TypeAdapter(prepared.task.Answer).dump_python(
                opened.answer(prepared.task, histories, [request])[0], mode="json"
            )
            for opened in (answerer, again)
        )
        assert_alike(first, second)

    def test_it_is_scored(self, prepared: PreparedTask) -> None:
        if prepared.task.makes_files:
            pytest.skip("its judge is trained elsewhere")
        score = prepared.task.score(prepared.decoder, prepared.cases)
        self.check_score(score, prepared)
        for name, method in prepared.task.references(prepared.answerer.parts).items():
            assert name
            other = prepared.task.score(method, prepared.cases)
            self.check_score(other, prepared)
            assert set(other.metrics) == set(score.metrics)
        found = bool(prepared.task.references(prepared.answerer.parts))
        assert found == (self.has_references and not prepared.task.compared_by_bench)

    def check_score(self, score: TaskScore, prepared: PreparedTask) -> None:
        assert prepared.task.headline in score.metrics
        assert score.cases == len(prepared.cases)
        assert 0 <= score.unscored <= score.cases
        assert (score.ranks is not None) == prepared.task.ranks_items
        for values in (score.ranks, score.values):
            assert values is None or values.shape == (len(prepared.cases),)

    def test_watched_answers_are_written_out(self, prepared: PreparedTask) -> None:
        if not prepared.task.by_likelihood:
            with pytest.raises(NotImplementedError, match="judged by its score"):
                prepared.task.likelihood_examples(prepared.cases)
            return
        encoder = prepared.answerer.parts.encoder
        examples = prepared.task.likelihood_examples(prepared.cases)
        assert examples
        assert all(len(encoder.encode(example)) > 0 for example in examples)


def assert_alike(found: Any, expected: Any) -> None:
    """Equal documents; floats within 1e-3: sums over another batch shape differ in their last bits."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_alike(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for left, right in zip(found, expected, strict=True):
            assert_alike(left, right)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4, nan_ok=True)
    else:
        assert found == expected


@cache
def prepare_task(name: str, beside: tuple[str, ...] = ()) -> PreparedTask:
    """The task on a generated shop, with a model of random weights."""
    import torch

    from unimp.data.splits import leave_one_out
    from unimp.demo.shop.settings import ShopConfig
    from unimp.demo.shop.writing import write_shop
    from unimp.runs.recipe import Recipe
    from unimp.runs.training_split import TrainingSplit
    from unimp.train.preparation import build_artifacts

    with tempfile.TemporaryDirectory() as folder:
        shop = ShopConfig(num_items=320, num_users=60, picture_size=16)
        dataset = write_shop(Path(folder) / "shop", shop)
        split = leave_one_out(dataset.interactions.histories, len(dataset.catalog))
        recipe = Recipe.parse({"tasks": [name, *beside], **RECIPE}, "contract")
        artifacts = build_artifacts(
            TrainingSplit.of(dataset, split), recipe, device=torch.device("cpu"), show_progress=False
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = artifacts.new_model()
        answerer = artifacts.answerer(model)
    task = answerer.task_named(name)
    cases = split.test.select(np.arange(FEW))
    return PreparedTask(task, answerer, split.train, cases, dataset.catalog.item_ids)
