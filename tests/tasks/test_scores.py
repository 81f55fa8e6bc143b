"""What a task's score says of answerers whose worth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.six import Six
from tests.tasks.corner_shop import context
from unimp.answer import ExplainedRating, Query
from unimp.core.errors import ConfigError
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.tasks import TASKS, load_tasks
from unimp.tasks.queries import Posed
from unimp.tasks.search.task import satisfaction


class Knowing:
    """Knows the answers, or always says the opposite."""

    def __init__(self, six: Six, *, right: bool = True) -> None:
        cases = six.split.test
        self.six, self.right = six, right
        self.target = dict(zip(cases.histories.user_ids.tolist(), cases.target_rows.tolist(), strict=True))
        self.event = dict(zip(cases.histories.user_ids.tolist(), cases.target_events.tolist(), strict=True))

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        assert len(queries) == len(histories)
        scores = np.zeros((len(histories), len(self.six.dataset.catalog)), dtype=np.float32)
        for user, name in enumerate(histories.user_ids.tolist()):
            scores[user, self.target[name]] = 1.0 if self.right else -1.0
        return scores

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        ratings = self.six.dataset.interactions.events["rating"]
        given = [ratings[self.event[name]] for name in histories.user_ids.tolist()]
        return np.array(given, dtype=np.float32) + (0.0 if self.right else 2.0)

    def explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        speech = self.six.artifacts.context.review_sentence
        texts = [speech(self.event[name]) or "" for name in histories.user_ids.tolist()]
        ratings = self.rate(histories, item_rows)
        return [
            ExplainedRating(text if self.right else "", float(rating))
            for text, rating in zip(texts, ratings, strict=True)
        ]

    def select(
        self, histories: Histories, candidates: Sequence[IntArray], counts: Sequence[int]
    ) -> list[IntArray]:
        chosen = []
        for name, rows, count in zip(histories.user_ids.tolist(), candidates, counts, strict=True):
            mine = set(
                self.six.dataset.interactions.histories.items_of(
                    self.six.dataset.interactions.user_position[name]
                ).tolist()
            )
            places = [place for place, row in enumerate(rows.tolist()) if (row in mine) == self.right]
            chosen.append(np.array(places[:count], dtype=np.int64))
        return chosen


@pytest.mark.parametrize(
    ("name", "metric", "best", "worst"),
    [
        ("search", "NDCG@5", 1.0, 0.0),
        ("rating", "RMSE", 0.0, 2.0),
        ("selection", "accuracy", 1.0, 0.0),
        ("selection", "accuracy-hard", 1.0, 0.0),
        ("selection", "F1-two-of-ten", 1.0, 0.0),
        ("explanation", "RMSE", 0.0, 2.0),
    ],
)
def test_the_best_and_the_worst(six: Six, name: str, metric: str, best: float, worst: float) -> None:
    task, cases = six.task(name), six.split.test
    assert task.score(Knowing(six), cases).metrics[metric] == pytest.approx(best, abs=1e-6)
    assert task.score(Knowing(six, right=False), cases).metrics[metric] == pytest.approx(worst, abs=1e-6)


def test_said_word_for_word_and_said_nothing(six: Six) -> None:
    task, cases = six.task("explanation"), six.split.test
    silent_events = sum(text is None for text in task.truth(cases)[0])
    spoken = task.score(Knowing(six), cases)
    assert spoken.metrics["BLEU-4"] == pytest.approx(1.0)
    assert spoken.unscored == silent_events > 0
    assert task.score(Knowing(six, right=False), cases).unscored == len(cases)


def test_what_cannot_be_judged_is_counted_not_wrong(six: Six) -> None:
    cases = six.split.test.select(np.arange(6))
    unknown = replace(cases, target_rows=np.where(np.arange(6) < 2, -1, cases.target_rows))
    for name in ("search", "rating", "selection"):
        score = six.task(name).score(Knowing(six), unknown)
        assert (score.cases, score.unscored) == (6, 2)
        assert score.values is not None
        assert np.isnan(score.values).tolist() == [True] * 2 + [False] * 4


def test_satisfied_by_hand() -> None:
    scores = np.array([[9, 8, 7, 6, 5, 0, 0], [0, 0, 5, 6, 7, 8, 9], [1, 1, 1, 1, 1, 1, 1]], dtype=np.float32)
    posed = [
        Posed(Query("a"), np.array([0, 4, 6])),
        Posed(Query("b"), np.array([0, 1])),
        Posed(Query("logged"), None),
    ]
    assert satisfaction(scores, posed) == [2 / 5, 0.0]


def test_every_task_is_made_from_its_name() -> None:
    made = load_tasks(TASKS, context())
    assert [task.name for task in made] == list(TASKS)
    assert len({task.words for task in made}) == len(TASKS)
    with pytest.raises(ConfigError, match="unknown task 'serch'; did you mean \"search\""):
        TASKS.find("serch")


def test_what_data_lack_is_said() -> None:
    whole = context()
    bare = replace(whole, scale=None, events=None, codes=None)
    for name, lacking in (
        ("rating", "ratings"),
        ("explanation", "written reviews"),
        ("imagination", r"pictures, and image_tokenizer\.enabled"),
    ):
        with pytest.raises(ConfigError, match=f"task {name}: needs {lacking}"):
            load_tasks([name], bare)
    wordless = replace(whole.catalog, attributes=whole.catalog.attributes[:1])
    with pytest.raises(ConfigError, match="task search: needs category attributes"):
        load_tasks(["search"], replace(whole, catalog=wordless))
