"""A history that is read on from what was kept gives the cold answer, whatever happened in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.six import Six
from unimp.answer import Query
from unimp.data.histories import FloatArray, Histories
from unimp.inference.retrieval import ModelRanker, ModelSearcher
from unimp.inference.warm import Seen, WarmMemory, WarmState
from unimp.inference.warm_reading import WarmReader
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.template import SentenceConfig, Template
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask

USERS = ["ann", "bob", "cid", "dan", None]
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
    assert ranker is not None
    assert searcher is not None
    return (
        replace(ranker, task=RecommendationTask(context), encoder=encoder),
        replace(searcher, task=SearchTask(context), encoder=encoder),
    )


def rated(rows: Sequence[Sequence[int]]) -> Histories:
    """Histories whose events are rated, but for every third."""
    bare = Histories.from_lists(rows)
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
def test_growing_histories_equal_the_cold_answers(six: Six, sentence: dict[str, object]) -> None:
    """Users come with nothing, with one, with several new events, in batches of all kinds."""
    ranker, searcher = written(six, **sentence)
    warm = WarmReader(ranker, WarmMemory(ROOM)), WarmReader(searcher, WarmMemory(ROOM))
    rng = np.random.default_rng(3)
    rows: list[list[int]] = [[], [5], [7, 8, 9], list(range(20, 32)), [40, 41]]
    for turn in range(5):
        histories = rated(rows)
        queries = [Query("blue lamp"), Query("bag"), Query("red"), Query("", 40 + turn), Query("mug")]
        close(warm[0].score(USERS, histories), ranker.score(histories))
        close(warm[1].search(USERS, histories, queries), searcher.search(histories, queries))
        some = [4, 2, 0]
        chosen = histories.select(some)
        close(warm[0].score([USERS[user] for user in some], chosen), ranker.score(chosen))
        for user, history in enumerate(rows):
            history.extend(rng.integers(320, size=(turn + user) % 3).tolist())
    assert warm[0].memory.outcomes["hit"] > 0
    assert warm[0].memory.outcomes["extended"] > 0


def test_a_history_that_changed_is_read_anew(six: Six) -> None:
    """Fewer events, other events, another rating: nothing of the old state is used."""
    ranker, _ = written(six, ratings=True)
    reader = WarmReader(ranker, WarmMemory(ROOM))
    before = rated([[3, 4, 5]])
    reader.score(["ann"], before)
    for changed in (
        before.first(2),
        rated([[3, 9, 5, 6]]),
        replace(before, ratings=np.array([2, 2, 2], dtype=np.float32)),
        rated([[]]),
    ):
        close(reader.score(["ann"], changed), ranker.score(changed))
    assert reader.memory.outcomes == {"hit": 0, "extended": 0, "miss": 5}


def test_nothing_is_read_twice(six: Six, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer needs no pass through the decoder, one more event a pass over its position."""
    ranker, searcher = written(six, fields=[])
    reader, seeker = WarmReader(ranker, WarmMemory(ROOM)), WarmReader(searcher, WarmMemory(ROOM))
    lengths: list[int] = []
    decoder = ranker.model.decoder
    original = decoder.forward

    def counted(x_BTD: torch.Tensor, *more: object) -> torch.Tensor:
        lengths.append(x_BTD.shape[1])
        return original(x_BTD, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder, "forward", counted)
    for rows in ([1, 2, 3], [1, 2, 3], [1, 2, 3, 4]):
        reader.score(["ann"], Histories.from_lists([rows]))
    assert lengths == [5, 1]
    for text in ("red", "bag"):
        seeker.search(["ann"], Histories.from_lists([[1, 2, 3]]), [Query(text)])
    assert lengths == [5, 1, 6, 1]


def state(rows: Sequence[int]) -> WarmState:
    seen = Seen(np.array(rows, dtype=np.int64), np.full(len(rows), np.nan, dtype=np.float32))
    keys = torch.zeros(1, 1, len(rows), 2)
    return WarmState(seen, keys, keys, torch.zeros(2))


def test_memory_is_bounded_and_keeps_what_was_used_last() -> None:
    size = state([1, 2]).num_bytes
    memory = WarmMemory(3 * size)
    for user in "abc":
        memory.put(("t", user), state([1, 2]))
    assert memory.find(("t", "a"), state([1, 2]).seen) is not None
    memory.put(("t", "d"), state([1, 2]))
    assert [key[1] for key in memory.states] == ["c", "a", "d"]
    assert memory.bytes == 3 * size
    memory.put(("t", "d"), state([1]))
    assert memory.bytes == 2 * size + state([1]).num_bytes
    nothing = WarmMemory(0)
    nothing.put(("t", "a"), state([1]))
    assert (len(nothing), nothing.bytes) == (0, 0)


def test_users_and_items_are_forgotten() -> None:
    memory = WarmMemory(ROOM)
    for task, user, rows in (("t", "a", [1, 2]), ("u", "a", [1]), ("t", "b", [2, 3]), ("t", "c", [4])):
        memory.put((task, user), state(rows))
    memory.forget_items([3, 9])
    assert set(memory.states) == {("t", "a"), ("u", "a"), ("t", "c")}
    memory.forget_user("a")
    assert set(memory.states) == {("t", "c")}
    assert memory.bytes == state([4]).num_bytes
