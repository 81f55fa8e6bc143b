"""A large catalogue is searched by an index; what it proposes is scored as every item is in a small one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.six import Six
from tests.train.conftest import tiny_recipe, write_ring
from unimp import load
from unimp.answer import Query
from unimp.core.errors import MissingExtra
from unimp.data.histories import Histories, IntArray
from unimp.data.upserts import NewItem
from unimp.inference import candidates
from unimp.inference.score_sources import FusionWeights, SourceWeight
from unimp.inference.scored_rows import ScoredRows
from unimp.inference.vector_index import HiddenRows, RetrievalConfig, VectorIndex
from unimp.personalizer import Personalizer
from unimp.runs.answerer import Answerer
from unimp.runs.open_run import TrainedRun
from unimp.runs.search_index import (
    INDEX,
    build_search,
    read_search,
    recall_of,
    searching,
    wants_index,
    write_search,
)
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.train.training_run import train

pytest.importorskip("faiss", reason="needs the extra ann")

CONFIG = RetrievalConfig(kind="approximate", lists=8, recall=1.0)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture
def exact(six: Six) -> Personalizer:
    """Every item scored, with a share for every source."""
    shares = {name: SourceWeight(weight=2.0, recency=0.9) for name in ("log", "content", "popularity")}
    asked = shares | {"words": SourceWeight(weight=3.0), "picture": SourceWeight(weight=2.0)}
    weights = {"recommendation": FusionWeights(shares=shares), "search": FusionWeights(shares=asked)}
    run = TrainedRun(Path("run"), {}, {}, six.artifacts, six.model(), weights, six.dataset)
    return Personalizer(run, run.answerer)


@pytest.fixture
def near(exact: Personalizer) -> Personalizer:
    """The same by an index that reads all of its lists."""
    found = build_search(exact.answerer, CONFIG, exact.run.dataset.interactions.histories, show=False)
    return replace(exact, answerer=searching(exact.answerer, found.search))


def recommended(answerer: Answerer, histories: Histories) -> list[ScoredRows]:
    users = len(histories)
    return answerer.decoder(RecommendationTask).best(histories, [10] * users, [True] * users)


def assert_alike(found: list[ScoredRows], exact: list[ScoredRows]) -> None:
    """The same items; the scores differ by the normaliser, one constant an answer."""
    for own, right in zip(found, exact, strict=True):
        assert own.rows.tolist() == right.rows.tolist()
        np.testing.assert_allclose(own.scores - own.scores[0], right.scores - right.scores[0], **CLOSE)


def test_recommendations_are_the_exact_ones(exact: Personalizer, near: Personalizer, six: Six) -> None:
    """A cold start among them, whose scores of equally popular items differ by little."""
    histories = Histories.concatenate([six.split.test.histories, Histories.from_lists([[3, 8, 5]])])
    assert_alike(recommended(near.answerer, histories), recommended(exact.answerer, histories))
    cold = Histories.from_lists([[]])
    assert_alike(recommended(near.answerer, cold), recommended(exact.answerer, cold))


def test_searches_are_the_exact_ones(exact: Personalizer, near: Personalizer) -> None:
    histories = Histories.from_lists([[3, 8, 5], [], [40], [7, 9], [1]])
    queries = [Query("blue bag"), Query("red"), Query("", 7), Query("bag", 30), Query("zzz")]
    for excluded in (True, False):
        asked = (histories, queries, [5, 10, 3, 10, 10], [excluded] * 5)
        found = near.answerer.decoder(SearchTask).best(*asked)
        assert_alike(found, exact.answerer.decoder(SearchTask).best(*asked))


def test_the_index_of_a_run_is_kept_and_read(near: Personalizer, tmp_path: Path, six: Six) -> None:
    histories = near.run.dataset.interactions.histories
    found = build_search(near.answerer, CONFIG, histories, show=False)
    assert found.recall == {"recommendation": 1.0, "search": 1.0}
    write_search(tmp_path / "index", found, {"model": "a"})
    assert read_search(tmp_path / "index", {"model": "b"}) is None
    search = read_search(tmp_path / "index", {"model": "a"})
    assert search is not None
    again = searching(near.answerer, search)
    assert_alike(
        recommended(again, six.split.test.histories), recommended(near.answerer, six.split.test.histories)
    )


@pytest.mark.parametrize("most_changed", [10_000, 0], ids=["beside the lists", "in the lists"])
def test_upserted_items_are_found_and_removed_ones_never(
    exact: Personalizer, near: Personalizer, six: Six, monkeypatch: pytest.MonkeyPatch, most_changed: int
) -> None:
    """As with every item scored, whether changed items stand beside the lists or were put into them."""
    monkeypatch.setattr(candidates, "MOST_CHANGED", most_changed)
    histories = Histories.concatenate([six.split.test.histories, Histories.from_lists([[3, 320, 5], []])])
    catalog = six.dataset.catalog
    new = [NewItem("twin", catalog.item(8).attributes), NewItem("other", catalog.item(60).attributes)]
    replaced = [NewItem(catalog.item_ids[5], catalog.item(60).attributes)]
    best = recommended(exact.answerer, six.split.test.histories)[0].rows[:2].tolist()
    gone = [catalog.item_ids[row] for row in best]
    versions = []
    for model in (exact, near):
        grown = model.upsert_items(new).upsert_items(replaced).remove_items(gone)
        versions.append((grown, grown.upsert_items([NewItem(gone[0], catalog.item(best[0]).attributes)])))
    for right, own in zip(*versions, strict=True):
        found = recommended(own.answerer, histories)
        assert_alike(found, recommended(right.answerer, histories))
        back = own is versions[1][1]
        assert all((best[0] in answer.rows) <= back and best[1] not in answer.rows for answer in found)
    queries = [Query("blue bag"), Query("", 320)]
    asked = (Histories.from_lists([[3, 8], []]), queries, [10, 10], [True, True])
    (right, _), (own, _) = versions
    assert_alike(
        own.answerer.decoder(SearchTask).best(*asked), right.answerer.decoder(SearchTask).best(*asked)
    )
    assert_alike(
        recommended(near.answerer, histories.slice(0, 5)), recommended(exact.answerer, histories.slice(0, 5))
    )


def test_hidden_and_excluded_rows_take_nobodys_place() -> None:
    """Of 400 rows on a line the 390 best are hidden or excluded: the rest is found."""
    table = np.stack([np.linspace(1, 0, 400), np.ones(400)], axis=1).astype(np.float32)

    def rows_of(rows: IntArray) -> np.ndarray:
        return table[rows]

    index = VectorIndex.build(rows_of, np.arange(400), 4).with_probes(4)
    hidden, query = HiddenRows(np.arange(200)), np.array([1, 0], dtype=np.float32)
    found = index.search(query, 10, hidden, np.arange(200, 390))
    assert sorted(found.tolist()) == list(range(390, 400))


def test_auto_takes_an_index_past_its_limit(six: Six) -> None:
    config = RetrievalConfig(exact_items=100)
    assert wants_index(config, 101, show=False)
    assert not wants_index(config, 100, show=False)
    assert not wants_index(RetrievalConfig(kind="exact", exact_items=100), 101, show=False)
    assert wants_index(RetrievalConfig(kind="approximate"), 10, show=False)


def test_recall_by_hand() -> None:
    def rows(*values: int) -> ScoredRows:
        return ScoredRows(np.array(values), np.zeros(len(values), dtype=np.float32))

    assert recall_of([rows(1, 2), rows(3, 4), rows()], [rows(2, 9), rows(4, 3), rows(5)]) == 0.75


def test_training_ends_with_the_index_or_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run keeps its index, opens with it, and without the extra it is refused before any work."""
    recipe = tiny_recipe(
        train={"epochs": 1},
        vision={"enabled": False},
        content={"picture": False},
        retrieval={"kind": "approximate"},
    )
    dataset, device = write_ring(tmp_path / "data"), torch.device("cpu")
    train(dataset, recipe, tmp_path / "run", device=device, show=False)
    assert (tmp_path / "run" / INDEX).exists()
    opened = load(tmp_path / "run")
    assert opened.answerer.sources.nearest is not None
    assert len(opened.recommend(history=["i03"], k=19).items) == 19
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match=r"unimp\[ann\]"):
        train(dataset, recipe, tmp_path / "other", device=device, show=False)
    assert not (tmp_path / "other").exists()
