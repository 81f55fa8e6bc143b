"""The learned ranker as the last word on a run's recommendations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from unimp.core.errors import CheckpointError, DataError
from unimp.core.files import read_json
from unimp.data.dataset import Dataset
from unimp.data.histories import Histories
from unimp.data.splits import leave_one_out
from unimp.data.upserts import NewItem
from unimp.fusion import second_stage
from unimp.inference.second_stage import with_unknown
from unimp.personalizer import Personalizer, load
from unimp.runs.recipe import Recipe
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.testing.world import toy_world
from unimp.train.training_run import train

TINY: dict[str, Any] = {
    "sentence": {"fields": []},
    "content": {"text": 8},
    "vision": {"enabled": False},
    "model": {"width": 16, "layers": 1, "heads": 2, "hidden": 32},
    "structure": {"kind": "cosine", "neighbours": 10},
    "train": {"epochs": 1, "lr": 5e-3, "batch_positions": 512, "threads": 1},
}


def recipe(**fusion: Any) -> Recipe:
    return Recipe.parse({**TINY, "fusion": fusion}, "test")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return toy_world().write(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "run"
    train(dataset, recipe(kind="learned", candidates=20), folder, show=False)
    return folder


@pytest.fixture
def personalizer(run: Path) -> Personalizer:
    return load(run)


def test_the_ranker_is_kept_with_the_run_and_answers(run: Path, personalizer: Personalizer) -> None:
    told = read_json(run / "result.json")["fusion"]
    assert told["kind"] == "learned"
    assert told["reached"]["users"] > 100
    catalog = personalizer.run.dataset.catalog
    ranker = personalizer.answerer.decoder(RecommendationTask)
    history = catalog.item_ids[3:6]
    answer = personalizer.recommend(list(history), k=10)
    histories = Histories.from_lists([[3, 4, 5]])
    assert ranker.second_stage is not None
    scores = ranker.second_stage.score(
        histories, ranker.log_probabilities(histories), np.empty(0, dtype=np.int64), exclude=True
    )[0]
    scores[[3, 4, 5]] = -np.inf
    assert [item.item_id for item in answer.items] == [
        catalog.item_ids[row] for row in np.argsort(-scores, kind="stable")[:10]
    ]
    closed = replace(ranker, second_stage=None).best(histories, [10], [True])[0].rows
    assert closed.tolist() != list(catalog.rows([item.item_id for item in answer.items]))


def test_evaluation_judges_what_is_answered(personalizer: Personalizer, dataset: Dataset) -> None:
    cases = leave_one_out(dataset.interactions.histories, len(dataset.catalog)).test
    task = personalizer.answerer.task(RecommendationTask)
    ranker = personalizer.answerer.decoder(RecommendationTask)
    ranks = task.score(ranker, cases).ranks
    assert ranks is not None
    for case in range(0, len(cases), 40):
        history, target = cases.histories.slice(case, case + 1), cases.target_rows[case]
        place = 1 + ranker.best(history, [61], [True])[0].rows.tolist().index(target)
        scores = ranker.score(history)[0]
        alike = (np.delete(scores, history.item_rows) == scores[target]).sum() - 1
        assert abs(ranks[case] - place) <= alike / 2  # items of equal score share their mean rank


def test_the_history_comes_back_where_it_is_asked_for(personalizer: Personalizer) -> None:
    ids = list(personalizer.run.dataset.catalog.item_ids[:3])
    assert not {item.item_id for item in personalizer.recommend(ids, k=61).items} & set(ids)
    found = [item.item_id for item in personalizer.recommend(ids, k=61, exclude_history=False).items]
    assert set(ids) < set(found)


def test_a_newcomer_gets_what_is_popular(personalizer: Personalizer) -> None:
    ranker = personalizer.answerer.decoder(RecommendationTask)
    nobody = Histories.from_lists([[], [2, 3]])
    assert np.array_equal(ranker.score(nobody)[0], replace(ranker, second_stage=None).score(nobody)[0])


def test_removed_items_take_no_place_and_a_new_one_has_its_own(personalizer: Personalizer) -> None:
    ids = list(personalizer.run.dataset.catalog.item_ids)
    first = [item.item_id for item in personalizer.recommend(ids[:3], k=20).items]
    fewer = personalizer.remove_items(first[:15])
    left = [item.item_id for item in fewer.recommend(ids[:3], k=20).items]
    assert len(left) == 20
    assert not set(left) & set(first[:15])
    catalog = personalizer.run.dataset.catalog
    values = {name: cells[4] for name, cells in catalog.texts.items() if cells[4] is not None}
    more = personalizer.upsert_items([NewItem("new", values)])
    ranker = more.answerer.decoder(RecommendationTask)
    histories = Histories.from_lists([[0, 1, 2]])
    closed = replace(ranker, second_stage=None).best(histories, [62], [True])[0].rows.tolist()
    found = [item.item_id for item in more.recommend(ids[:3], k=62).items]
    assert found.index("new") == closed.index(61)
    assert [name for name in found if name != "new"][:20] == first


def test_new_items_in_a_history_say_nothing_to_the_ranker(personalizer: Personalizer) -> None:
    catalog = personalizer.run.dataset.catalog
    values = {name: cells[4] for name, cells in catalog.texts.items() if cells[4] is not None}
    ranker = personalizer.upsert_items([NewItem("new", values)]).answerer.decoder(RecommendationTask)
    stage = ranker.second_stage
    assert stage is not None
    new = stage.num_items
    histories = Histories.from_lists([[0, new, 1, 2], [new]])
    alone = ranker.log_probabilities(histories)[:, :new]
    scores = ranker.score(histories)
    staged = stage.score(Histories.from_lists([[0, 1, 2]]), alone[:1], np.arange(0), exclude=True)[0]
    np.testing.assert_allclose(scores[0, :new], staged, rtol=1e-5)
    np.testing.assert_array_equal(scores[1], replace(ranker, second_stage=None).score(histories)[1])
    assert ranker.reasons(histories.slice(0, 1), 6)
    assert ranker.reasons(histories.slice(1, 2), 6) == []


def test_relations_say_why(personalizer: Personalizer) -> None:
    ranker = personalizer.answerer.decoder(RecommendationTask)
    history = Histories.from_lists([[3, 4, 5]])
    reasons = ranker.reasons(history, 6)
    assert reasons
    known = {name.partition(": ")[0] for name in ranker.second_stage.learned.names}  # type: ignore[union-attr]
    assert {reason.relation for reason in reasons} <= known
    assert not any(reason.relation.startswith(("model", "popularity")) for reason in reasons)
    assert all(set(reason.rows) <= {3, 4, 5} for reason in reasons)
    assert any(reason.rows for reason in reasons)
    assert ranker.reasons(Histories.from_lists([[]]), 6) == []
    assert replace(ranker, second_stage=None).reasons(history, 6) == []


def test_unknown_items_by_hand() -> None:
    staged = np.array([[3.0, 2.0, 1.0], [5.0, 6.0, 7.0]], dtype=np.float32)
    closed = np.array([[1.0, 9.0, 5.0, 7.0, 0.0], [1.0, 2.0, 3.0, 9.0, -np.inf]], dtype=np.float32)
    found = with_unknown(staged, closed)
    # Closed: 1, 3, 2, 0, 4, so the first unknown item is second and the last one stands last.
    assert np.argsort(-found[0], kind="stable").tolist() == [0, 3, 1, 4, 2]
    assert np.argsort(-found[1], kind="stable").tolist() == [3, 2, 1, 0, 4]
    assert found[1, 4] == -np.inf
    equal = np.array([[1.0, 9.0, 5.0, 7.0, 7.000001]], dtype=np.float32)
    found = with_unknown(staged[:1], equal)
    assert found[0, 3] == found[0, 4]
    assert np.argsort(-found[0], kind="stable").tolist() == [0, 3, 4, 1, 2]


def test_alike_new_items_stand_in_one_order_whenever_they_came(personalizer: Personalizer) -> None:
    catalog = personalizer.run.dataset.catalog
    values = {name: cells[4] for name, cells in catalog.texts.items() if cells[4] is not None}
    names = ["new a", "new b", "new c"]
    orders = []
    for order in (names, names[::-1]):
        grown = personalizer
        for name in order:
            grown = grown.upsert_items([NewItem(name, values)])
        ids = list(catalog.item_ids[:3])
        orders.append([item.item_id for item in grown.recommend(ids, k=64).items])
    assert set(names) < set(orders[0])
    assert orders[0] == orders[1]


def test_auto_keeps_what_validation_prefers(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_stage, "headline", lambda ranker, cases, exclude: 0.999)
    found = train(dataset, recipe(kind="auto"), tmp_path / "closed", show=False)
    assert found["fusion"]["kind"] == "closed"
    assert found["fusion"]["valid NDCG@5"]["closed"] == 0.999
    assert load(tmp_path / "closed").answerer.decoder(RecommendationTask).second_stage is None
    monkeypatch.setattr(second_stage, "headline", lambda ranker, cases, exclude: 0.0)
    found = train(dataset, recipe(kind="auto"), tmp_path / "learned", show=False)
    assert found["fusion"]["kind"] == "learned"
    small = train(dataset, recipe(kind="auto", most_items=60), tmp_path / "large", show=False)
    assert small["fusion"] == {"kind": "closed"}


def test_too_few_users_and_a_damaged_folder_get_one_line(run: Path, tmp_path: Path) -> None:
    world = toy_world()
    events = world.interactions.events.filter(
        pl.col("user_id").is_in(world.split.test.histories.user_ids[:6])
    )
    few = replace(world, interactions=replace(world.interactions, events=events)).write(tmp_path / "few")
    with pytest.raises(DataError, match="6 validation cases can be learned from"):
        train(few, recipe(kind="learned"), tmp_path / "run", show=False)
    assert train(few, recipe(kind="auto"), tmp_path / "auto", show=False)["fusion"] == {"kind": "closed"}
    saved = run / "second_stage" / "fusion.json"
    text = saved.read_text()
    saved.write_text(text[:50])
    try:
        with pytest.raises(CheckpointError, match="not a saved fusion"):
            load(run)
    finally:
        saved.write_text(text)
