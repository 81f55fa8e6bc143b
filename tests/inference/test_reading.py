"""Answers from the prefix cache are the answers without it, for every task and every mixture of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.six import Six
from unimp.answer import Query
from unimp.data.histories import FloatArray, Histories
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.retrieval import ModelRanker
from unimp.inference.searching import ModelSearcher
from unimp.runs.answerer import Answerer
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.template import SentenceConfig, Template
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.task import SelectionTask

USERS = ["ann", "bob", "cid", "dan", ""]
ROOM = 2**24


def close(found: FloatArray, expected: FloatArray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def written(six: Six, **sentence: object) -> tuple[ModelRanker, ModelSearcher]:
    """The ranker and the searcher, their sentences written in another way."""
    config = SentenceConfig.model_validate({"fields": ["category"], **sentence})
    known = six.artifacts.encoder
    context = replace(six.artifacts.context, template=Template(six.dataset.catalog, config))
    encoder = SentenceEncoder(known.vocabulary, config.attributes, known.project)
    ranker, searcher = six.answerer.decoder(RecommendationTask), six.answerer.decoder(SearchTask)
    return (
        replace(ranker, task=RecommendationTask(context), encoder=encoder),
        replace(searcher, task=SearchTask(context), encoder=encoder),
    )


def rated(rows: Sequence[Sequence[int]], users: Sequence[str]) -> Histories:
    """Histories whose events are rated, but for every third."""
    bare = Histories.from_lists(rows, users)
    ratings = (1 + bare.item_rows % 5).astype(np.float32)
    ratings[::3] = np.nan
    return replace(bare, ratings=ratings)


@pytest.mark.parametrize(
    "sentence",
    [
        {},
        {"fields": []},
        {"attributes": "words", "fields": ["category", "title"]},
        {"ratings": True},
        {"max_items": 4, "ratings": True},
        {"task_words": False},
    ],
    ids=str,
)
def test_growing_histories_equal_the_cold_answers(either: Six, sentence: dict[str, object]) -> None:
    """Users come with nothing, with one, with several new events, in batches of all kinds."""
    ranker, searcher = written(either, **sentence)
    cache = PrefixCache(ROOM)
    warm = replace(ranker, cache=cache), replace(searcher, cache=cache)
    rng = np.random.default_rng(3)
    rows: list[list[int]] = [[], [5], [7, 8, 9], list(range(20, 32)), [40, 41]]
    for turn in range(5):
        histories = rated(rows, USERS)
        queries = [Query("blue lamp"), Query("bag"), Query("red"), Query("", 40 + turn), Query("mug")]
        close(warm[0].score(histories), ranker.score(histories))
        close(warm[1].search(histories, queries), searcher.search(histories, queries))
        chosen = histories.select([4, 2, 0])
        close(warm[0].score(chosen), ranker.score(chosen))
        for user, history in enumerate(rows):
            history.extend(rng.integers(320, size=(turn + user) % 3).tolist())
    assert cache.outcomes["hit"] > 0
    assert cache.outcomes["extended"] > 0
    assert cache.users() == set(USERS[:4])


def test_of_a_history_that_changed_the_same_beginning_is_used(six: Six) -> None:
    """Fewer events, other events, another rating, none at all."""
    ranker, _ = written(six, ratings=True)
    warm = replace(ranker, cache=PrefixCache(ROOM))
    before = rated([[3, 4, 5]], ["ann"])
    warm.score(before)
    for changed in (
        before.first(2),
        rated([[3, 9, 5, 6]], ["ann"]),
        replace(before, ratings=np.array([2, 2, 2], dtype=np.float32)),
        rated([[8, 9]], ["ann"]),
        rated([[]], ["ann"]),
    ):
        close(warm.score(changed), ranker.score(changed))
    assert warm.cache is not None
    assert warm.cache.outcomes["miss"] == 2  # the first, and the one that begins with another item


def test_nothing_is_read_twice(six: Six, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer needs no pass through the decoder, one more event a pass over its position."""
    ranker, searcher = written(six, fields=[])
    cache = PrefixCache(ROOM)
    ranker, searcher = replace(ranker, cache=cache), replace(searcher, cache=cache)
    lengths: list[int] = []
    decoder = ranker.model.decoder
    original = decoder.forward

    def counted(x_BTD: torch.Tensor, *more: object) -> torch.Tensor:
        lengths.append(x_BTD.shape[1])
        return original(x_BTD, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder, "forward", counted)
    for rows in ([1, 2, 3], [1, 2, 3], [1, 2, 3, 4]):
        ranker.score(Histories.from_lists([rows], ["ann"]))
    assert lengths == [5, 1]
    for text in ("red", "bag"):
        searcher.search(Histories.from_lists([[1, 2, 3]], ["ann"]), [Query(text)])
    assert lengths == [5, 1, 5, 1]  # the start is known from the other task


def test_tasks_without_words_of_their_own_share_what_was_read(six: Six) -> None:
    ranker, searcher = written(six, task_words=False)
    cache = PrefixCache(ROOM)
    histories = Histories.from_lists([[1, 2, 3]], ["ann"])
    replace(ranker, cache=cache).score(histories)
    found = replace(searcher, cache=cache).search(histories, [Query("red")])
    close(found, searcher.search(histories, [Query("red")]))
    assert (len(cache), cache.outcomes["hit"]) == (1, 1)


Ask = Callable[[Answerer, Histories], object]
TARGETS = np.array([17, 40, 17, 3])
CANDIDATES = np.array([3, 17, 40, 41, 90])
TASKS: dict[str, Ask] = {
    "recommendation": lambda a, h: a.decoder(RecommendationTask).score(h),
    "search": lambda a, h: a.decoder(SearchTask).search(
        h, [Query("blue lamp", 40), Query("mug"), Query("red"), Query("bag")][: len(h)]
    ),
    "rating": lambda a, h: a.decoder(RatingTask).distribution(h, TARGETS[: len(h)]),
    "explanation": lambda a, h: [
        one.rating for one in a.decoder(ExplanationTask).explain(h, TARGETS[: len(h)])
    ],
    "selection": lambda a, h: np.concatenate(
        a.decoder(SelectionTask).select(h, [CANDIDATES[user:] for user in range(len(h))], [2] * len(h))
    ),
    "chances": lambda a, h: a.decoder(SelectionTask).probabilities(
        h, [CANDIDATES[user:] for user in range(len(h))]
    ),
    "imagination": lambda a, h: (
        a.decoder(ImageGenerationTask)
        .imagine(h, [Query("red bag"), Query("mug")] * (len(h) // 2), 5)
        .astype(int)
    ),
    "words": lambda a, h: [
        ord(letter) for one in a.decoder(ExplanationTask).explain(h, TARGETS[: len(h)]) for letter in one.text
    ],
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_answers_batches_of_growing_histories_as_without_a_cache(either: Six, task: str) -> None:
    """The same again, one more event, several, another history, users known and unknown side by side."""
    cold, cache = either.answerer, PrefixCache(ROOM)
    warm = cold.with_prefixes(cache)
    turns: list[list[list[int]]] = [
        [[], [5], [7, 9], [1, 2, 3]],
        [[5], [5], [7, 9], [1, 2, 3]],
        [[5, 7], [5, 6, 40], [7, 9, 11, 41, 44], [1, 2, 3, 4]],
        [[5, 7], [5, 6, 40], [7, 40], [1, 2, 3, 4]],
        [[9], [5, 6, 40, 1], [7, 40, 41], list(range(20, 35))],
    ]
    for rows in turns:
        histories = rated(rows, ["ann", "bob", "cid", ""])
        found, expected = TASKS[task](warm, histories), TASKS[task](cold, histories)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]
    assert min(cache.outcomes.values()) > 0
    assert cache.users() == {"ann", "bob", "cid"}


@pytest.mark.parametrize("task", ["rating", "selection", "imagination"])
def test_the_history_is_read_once(six: Six, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second question reads as much as users without a history would let it."""
    warm = six.answerer.with_prefixes(PrefixCache(ROOM))
    histories, read = rated([range(20, 25), range(30, 35)], ["ann", "bob"]), list[int]()  # type: ignore[list-item]
    decoder = six.answerer.model.decoder
    original = decoder.forward

    def counted(x_BTD: torch.Tensor, *more: object) -> torch.Tensor:
        read.append(x_BTD.shape[0] * x_BTD.shape[1])
        return original(x_BTD, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder, "forward", counted)
    totals = []
    for _ in range(2):
        read.clear()
        TASKS[task](warm, histories)
        totals.append(sum(read))
    assert totals[1] <= totals[0] - 20  # each event has two positions: the item and its category


def test_prefixes_with_a_changed_item_are_dropped(six: Six) -> None:
    """Also where the item stands in the history by its picture alone."""
    cache = PrefixCache(ROOM)
    warm = six.answerer.with_prefixes(cache)
    for ask in TASKS.values():
        ask(warm, rated([[5, 7, 40], [5, 7]], ["ann", "bob"]))
    assert len(cache) >= 10
    cache.forget_items([41])
    assert cache.users() == {"ann", "bob"}
    cache.forget_items([40])
    assert cache.users() == {"bob"}
