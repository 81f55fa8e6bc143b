"""What a drawing shall show beside its words: the votes of the items that the search finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.inference.test_drawing import HISTORIES, QUERIES, codes_of, imaginer_of
from tests.six import Six, prepare
from unimp.answer import Query
from unimp.core.errors import ConfigError
from unimp.data.histories import Histories
from unimp.inference.scored_rows import ScoredRows
from unimp.tasks import TASKS
from unimp.tasks.image_generation.decoder import ModelImageGenerator
from unimp.tasks.image_generation.guidance import Conditioning, conditioning_weights
from unimp.tasks.image_generation.planning import WishPlanner, elected, in_words, named
from unimp.tasks.image_generation.sampling import SamplingConfig
from unimp.tasks.image_generation.schema import ImageRequest, added
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.queries import spaced
from unimp.tasks.search.task import SearchTask
from unimp.train import preparation


def found(rows: list[int], scores: list[float]) -> ScoredRows:
    return ScoredRows(np.array(rows, dtype=np.int64), np.array(scores, dtype=np.float32))


@pytest.fixture
def planner(six: Six) -> WishPlanner:
    searcher = six.answerer.decoder(SearchTask)
    assert searcher is not None
    queries = six.artifacts.context.queries
    return WishPlanner(searcher, queries, tuple(queries.fields))


def test_words_that_name_a_value_are_told(planner: WishPlanner) -> None:
    field, value = next(iter(planner.queries.members))
    assert planner.told(f"a {value.upper()}, please")[field] == value
    assert planner.told("") == {}
    assert field not in planner.told(f"x{value}x")  # whole words only


def test_a_value_within_a_longer_one_is_not_named() -> None:
    assert named({"colour": "Light Blue", "master": "Blue", "type": "Trousers"}) == {"Light Blue", "Trousers"}
    assert named({"type": "Trousers", "department": "Trousers"}) == {"Trousers"}
    assert spaced("Light-Blue, please") == " light blue please "


def test_the_most_votes_win() -> None:
    values = [{"colour": "red"}, {"colour": "blue"}, {"colour": "blue"}, {"size": "large"}]
    assert elected("colour", values, np.array([3.0, 1.0, 1.0, 9.0])) == "red"
    assert elected("colour", values, np.array([3.0, 2.0, 2.0, 9.0])) == "blue"
    assert elected("form", values, np.ones(4)) is None
    assert elected("colour", values, np.array([0.0, 0.0, 0.0, 9.0])) is None


def test_items_that_have_what_the_words_name_vote_alone(planner: WishPlanner) -> None:
    category, colour = planner.queries.fields[:2]
    values = [dict(one) for one in planner.queries.values]
    both = [row for row, one in enumerate(values) if {category, colour} <= one.keys()]
    first = both[0]
    other = next(row for row in both if values[row][category] != values[first][category])
    told = {category: values[other][category]}
    loud = found([first, other], [9.0, -9.0])
    planner = replace(planner, attributes=(colour,))
    assert planner.plan(told, loud) == {colour: values[other][colour]}
    assert planner.plan({}, loud) == {colour: values[first][colour]}
    assert planner.plan({colour: values[first][colour]}, loud) == {}  # said already
    assert planner.plan({}, found([], [])) == {}
    assert planner.plan({}, found([len(values) + 3], [1.0])) == {}  # a picture from outside


def test_nothing_is_planned_for_nothing(planner: WishPlanner) -> None:
    nobody = Histories.from_lists([[], [3]])
    plans = planner.planned(nobody, [Query(), Query()])
    assert plans[0] == {}
    assert plans[1]
    assert planner.planned(nobody.first(0), [Query(), Query()]) == [{}, {}]


def test_weights_of_four_readings() -> None:
    weights = conditioning_weights(3.0, 1.0, 0.5)
    assert weights == {
        Conditioning.ALL: 1.0,
        Conditioning.WORDS: 2.0,
        Conditioning.PLAN: 0.5,
        Conditioning.NOTHING: -2.5,
    }
    assert sum(weights.values()) == 1.0


def planning(six: Six, planner: WishPlanner, weight: float) -> ModelImageGenerator:
    imaginer = imaginer_of(six, temperature=0.0, plan_guidance=weight)
    return replace(imaginer, planner=planner)


def test_a_plan_guides_as_often_as_it_counts(six: Six, planner: WishPlanner) -> None:
    plain = codes_of(imaginer_of(six, temperature=0.0))
    assert codes_of(planning(six, planner, 0.0)) == plain
    assert codes_of(planning(six, planner, 3.0)) != plain
    assert codes_of(planning(six, planner, 3.0))[:1] == codes_of(planning(six, planner, 3.0), users=1)


def test_only_the_plan_is_read_for_it(six: Six, planner: WishPlanner) -> None:
    """Guided by nothing but the plan, the picture is that of its words without a history."""
    alone = replace(
        planning(six, planner, 1.0),
        sampling=SamplingConfig(temperature=0.0, guidance=0.0, history_guidance=0.0, plan_guidance=1.0),
    )
    plans = [in_words(plan) for plan in planner.planned(HISTORIES, QUERIES)]
    with torch.inference_mode():
        generators = [torch.Generator()] * 3
        expected = imaginer_of(six, temperature=0.0).draw(HISTORIES.first(0), plans, generators)
    assert codes_of(alone) == expected.tolist()


def test_an_answer_says_what_was_planned(six: Six, planner: WishPlanner) -> None:
    task, drawer = six.answerer.parts.task(ImageGenerationTask), planning(six, planner, 1.0)
    requests = [ImageRequest(history=[], text=query.text) for query in QUERIES]
    answers = task.answer(drawer, HISTORIES, requests)
    plans = planner.planned(HISTORIES, [Query(query.text.strip()) for query in QUERIES])
    assert any(plans)
    for answer, plan in zip(answers, plans, strict=True):
        assert answer.planned == plan
        assert all(value in " ".join(answer.because) for value in plan.values())
        assert task.lines(answer) == list(answer.because)
    silent = replace(drawer, sampling=SamplingConfig(plan_guidance=0.0))
    for answer in task.answer(silent, HISTORIES, requests):
        assert (answer.planned, answer.because) == ({}, ())


def test_a_sentence_says_what_suggested_the_plan() -> None:
    plan = {"product_type": "Dress", "colour": "Black"}
    both, alone, cold = (
        added(plan, history=history, words=words)[0]
        for history, words in ((True, True), (True, False), (False, True))
    )
    assert both == "Added because the history and the words suggest it: product type Dress, colour Black."
    assert alone.startswith("Added because the history suggests it: ")
    assert cold.startswith("Added because the words suggest it: ")
    assert added({}, history=True, words=True) == ()


def test_the_recipe_names_what_is_planned(six: Six) -> None:
    parts = six.answerer.parts
    task = parts.task(ImageGenerationTask)
    assert task.planner(parts) is None

    def planned(*names: str) -> WishPlanner | None:
        return task.planner(replace(parts, configs=(SamplingConfig(planned=names),), _decoders={}))

    field = six.artifacts.context.queries.fields[0]
    made = planned(field)
    assert made is not None
    assert made.attributes == (field,)
    with pytest.raises(ConfigError, match="attribute 'categry': unknown"):
        planned("categry")


def test_what_cannot_be_planned_is_refused(six: Six) -> None:
    context = six.artifacts.context
    names, field = list(TASKS), context.queries.fields[0]
    without = [name for name in names if name != SearchTask.name]
    check = ImageGenerationTask.check_settings
    check(context, [SamplingConfig()], without)
    check(context, [SamplingConfig(planned=(field,))], names)
    with pytest.raises(ConfigError, match=r"sampling\.planned: the task search says what is planned"):
        check(context, [SamplingConfig(planned=(field,))], without)
    with pytest.raises(ConfigError, match="attribute 'categry': unknown"):
        check(context, [SamplingConfig(planned=("categry",))], names)


def test_it_is_refused_before_the_image_tokenizer_learns(six: Six, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(*_: Any, **__: Any) -> None:
        raise AssertionError("the image tokenizer was trained first")

    monkeypatch.setattr(preparation, "picture_codes", too_late)
    with pytest.raises(ConfigError, match="attribute 'categry': unknown"):
        prepare(six.dataset, sampling={"planned": ("categry",)})
