"""Items put after training are answered with at once, by their content alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.six import Six
from unimp.answer import Query
from unimp.core.errors import DataError
from unimp.data.histories import Histories
from unimp.inference.score_sources import FusionWeights, SourceWeight
from unimp.personalizer import Personalizer
from unimp.runs.open_run import TrainedRun
from unimp.runs.updates import NewItem, Stock
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask

HISTORY = Histories.from_lists([[3, 8, 5], []])
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture
def trained(six: Six) -> Personalizer:
    """With a share for every source."""
    shares = {name: SourceWeight(weight=2.0, recency=0.9) for name in ("log", "content", "popularity")}
    asked = shares | {"words": SourceWeight(weight=3.0), "picture": SourceWeight(weight=2.0)}
    weights_by_task = {
        "recommendation": FusionWeights(shares=shares),
        "search": FusionWeights(shares=asked),
        "selection": FusionWeights(shares=shares),
    }
    run = TrainedRun(Path("run"), {}, {}, six.artifacts, six.model(), weights_by_task, six.dataset)
    return Personalizer(run, run.answerer)


@pytest.fixture
def stock(trained: Personalizer) -> Stock:
    return Stock(trained)


def file_of(six: Six, row: int) -> bytes:
    """The picture file of an item of the data."""
    catalog = six.dataset.catalog
    reference = catalog.picture_references[row]
    assert reference is not None
    assert catalog.pictures is not None
    return next(iter(catalog.pictures.read([reference])))[1]


def twin(six: Six, stock: Stock, row: int, item_id: str = "twin") -> NewItem:
    """A new item with the words and the picture of another."""
    return NewItem(
        item_id, six.dataset.catalog.item(row).attributes, stock.pixels(file_of(six, row), item_id)
    )


def pictured(six: Six) -> int:
    return int(np.flatnonzero(np.array(six.artifacts.template.has_picture))[60])


def test_before_anything_is_put_the_answers_are_the_trained_ones(stock: Stock, trained: Personalizer) -> None:
    queries = [Query("blue bag"), Query("", 7)]
    np.testing.assert_allclose(
        stock.answerer.decoder(RecommendationTask).score(HISTORY),
        trained.answerer.decoder(RecommendationTask).score(HISTORY),
        **CLOSE,
    )
    expected = trained.answerer.decoder(SearchTask).search(HISTORY, queries)
    np.testing.assert_allclose(stock.answerer.decoder(SearchTask).search(HISTORY, queries), expected, **CLOSE)


def test_a_twin_is_its_model_without_identity(six: Six, stock: Stock) -> None:
    """Its vector, its visual tokens, its places among words, pictures and alike items."""
    row = pictured(six)
    (new,) = stock.put([twin(six, stock, row)]).tolist()
    assert new == 320
    state, identity = stock.answerer.state, six.model().items.identity.weight.detach()
    torch.testing.assert_close(state.table_ID[new], state.table_ID[row] - identity[row], rtol=1e-3, atol=2e-3)
    assert state.visual_IVE is not None
    torch.testing.assert_close(state.visual_IVE[new], state.visual_IVE[row], rtol=2e-3, atol=2e-3)
    searcher = stock.answerer.decoder(SearchTask)
    assert searcher is not None
    for name, query in (("words", Query("blue bag lamp")), ("picture", Query("", row))):
        scores = searcher.sources.score(name, SourceWeight(weight=1.0), HISTORY.slice(0, 1), [query])
        np.testing.assert_allclose(scores[0, new], scores[0, row], rtol=2e-3, atol=2e-3)
    met = Histories.from_lists([[row], [new]])
    alike = searcher.sources.score("content", SourceWeight(weight=1.0), met)
    others = np.setdiff1d(np.arange(321), [row, new])
    near = np.argsort(-alike[0, others])[:20]
    np.testing.assert_allclose(alike[1, others][near], alike[0, others][near], rtol=1e-3, atol=1e-3)
    assert alike[0, new] == pytest.approx(alike[1, row])
    assert alike[0, row] == alike[1, new] == 0.0
    assert searcher.sources.score("popularity", SourceWeight(weight=1.0), met)[0, new] == 0.0
    assert searcher.sources.score("log", SourceWeight(weight=1.0), met)[:, new].tolist() == [0.0, 0.0]


def test_the_trained_items_keep_their_scores_among_themselves(
    six: Six, stock: Stock, trained: Personalizer
) -> None:
    """All by the same amount: the newcomer takes its share of the probability."""
    stock.put([twin(six, stock, pictured(six))])
    for before, after in (
        (
            trained.answerer.decoder(RecommendationTask).score(HISTORY),
            stock.answerer.decoder(RecommendationTask).score(HISTORY),
        ),
        (
            trained.answerer.decoder(SearchTask).search(HISTORY, [Query("mug"), Query("red")]),
            stock.answerer.decoder(SearchTask).search(HISTORY, [Query("mug"), Query("red")]),
        ),
    ):
        difference = (before - after[:, :320])[:1]
        assert after.shape == (2, 321)
        np.testing.assert_allclose(
            difference, np.broadcast_to(difference[:, :1], difference.shape), atol=1e-3
        )


def test_every_task_knows_a_new_item(six: Six, stock: Stock) -> None:
    title = stock.catalog.title
    assert title is not None
    row = pictured(six)
    item = twin(six, stock, row)
    stock.put([NewItem("new", {**item.attributes, title: "Zanzibar xylophone"}, item.picture)])
    p = stock.personalizer
    history = [*stock.catalog.item_ids[4:7], "new"]
    assert p.recommend(history, k=3).history == tuple(history)
    assert "new" in [one.item_id for one in p.recommend(history[:2], k=321, exclude_history=False).items]
    titles = {one.item_id: one.title for one in p.search("mug", k=320).items}
    assert titles["new"] == "Zanzibar xylophone"
    assert p.search(picture=file_of(six, row), history=[], k=5).has_picture
    assert p.rate("new", history=history[:3]).item_id == "new"
    assert p.explain("new", history=history).item_id == "new"
    assert p.explain(history[0], history=["new"]).text
    chosen = p.select(["new", *history[:2]], count=2, history=["new"])
    assert {one.item_id for one in chosen.candidates} == {"new", *history[:2]}
    assert len(p.imagine("mug", history=["new"], count=2).pictures) == 2


def test_a_put_changes_what_is_known_of_an_item(six: Six, stock: Stock) -> None:
    """Words and picture of another item; its identity and its popularity stay."""
    row, other = pictured(six), pictured(six) + 7
    item_id = stock.catalog.item_ids[row]
    before = stock.answerer.state.table_ID[row].clone()
    assert stock.put([NewItem(item_id, twin(six, stock, other).attributes)]).tolist() == [row]
    words_only = stock.answerer.state.table_ID[row].clone()
    assert not torch.allclose(words_only, before, atol=1e-3)
    stock.put([twin(six, stock, other, item_id)])
    identity = six.model().items.identity.weight.detach()
    table = stock.answerer.state.table_ID
    expected = table[other] - identity[other] + identity[row]
    torch.testing.assert_close(table[row], expected, rtol=1e-3, atol=2e-3)
    assert len(stock.catalog) == 320
    searcher = stock.answerer.decoder(SearchTask)
    assert searcher is not None
    assert searcher.sources.popularity[row] == six.artifacts.popularity[row]
    met = Histories.from_lists([[row], [other]])
    alike = searcher.sources.score("content", SourceWeight(weight=1.0), met)
    assert alike[0, other] == alike[1, row] > 0
    stock.put(
        [NewItem(item_id, six.dataset.catalog.item(row).attributes, stock.pixels(file_of(six, row), ""))]
    )
    torch.testing.assert_close(stock.answerer.state.table_ID[row], before, rtol=1e-3, atol=2e-3)


def test_many_puts_in_any_batches_are_one(six: Six, trained: Personalizer) -> None:
    """Also where an item is put again, and the room for rows was used up several times."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(320, size=300).tolist()
    names = [f"new {place % 240}" for place in range(300)]
    one, several = Stock(trained), Stock(trained)
    items = [
        NewItem(name, six.dataset.catalog.item(row).attributes)
        for name, row in zip(names, chosen, strict=True)
    ]
    one.put(items)
    for start in range(0, 300, 7):
        several.put(items[start : start + 7])
    assert one.catalog.item_ids == several.catalog.item_ids
    assert len(one.catalog) == 560
    met = Histories.from_lists([[3, 320, 400], [559]])
    np.testing.assert_allclose(
        several.answerer.decoder(RecommendationTask).score(met),
        one.answerer.decoder(RecommendationTask).score(met),
        **CLOSE,
    )
    queries = [Query("red mug"), Query("lamp")]
    np.testing.assert_allclose(
        several.answerer.decoder(SearchTask).search(met, queries),
        one.answerer.decoder(SearchTask).search(met, queries),
        **CLOSE,
    )


def test_the_trained_personalizer_stays_as_it_is(six: Six, stock: Stock, trained: Personalizer) -> None:
    before = trained.answerer.decoder(RecommendationTask).score(HISTORY)
    table = trained.answerer.state.table_ID.clone()
    stock.put([twin(six, stock, pictured(six)), twin(six, stock, 3, stock.catalog.item_ids[9])])
    np.testing.assert_array_equal(trained.answerer.decoder(RecommendationTask).score(HISTORY), before)
    assert torch.equal(trained.answerer.state.table_ID, table)
    with pytest.raises(DataError, match='unknown item "twin"'):
        trained.recommend(["twin"])
    assert six.dataset.catalog.item(9).attributes != stock.catalog.item(9).attributes


def test_aspects_are_those_of_the_words_now(six: Six, stock: Stock) -> None:
    """What an explanation may say follows the attributes; what reviews said stays."""
    context = stock.context
    trained = six.artifacts.context.aspects
    told = next(row for row in range(320) if six.dataset.catalog.item(row).attributes)
    assert context.aspects_of(told) == trained[told]
    stock.put([NewItem("new", six.dataset.catalog.item(told).attributes)])
    named = context.aspects[320]
    assert named
    assert named <= trained[told]
    stock.put([NewItem("new", {})])
    assert context.aspects[320] == frozenset()


def test_mistakes_put_nothing(stock: Stock) -> None:
    with pytest.raises(DataError, match='item "b": unknown attribute "colour of"'):
        stock.put([NewItem("a", {}), NewItem("b", {"colour of": "red"})])
    assert len(stock.catalog) == 320
    assert stock.put([]).tolist() == []
    broken = io.BytesIO()
    Image.new("RGB", (4, 4)).save(broken, "PNG")
    with pytest.raises(DataError, match='item "a"'):
        stock.pixels(broken.getvalue()[:30], "a")
