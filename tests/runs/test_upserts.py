"""Items upserted after training are answered with at once, by their content alone; versions never change."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.six import Six
from unimp.answer import Query
from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import Histories
from unimp.data.upserts import NewItem
from unimp.inference.score_sources import FusionWeights, SourceWeight
from unimp.personalizer import Personalizer
from unimp.runs.open_run import TrainedRun
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.task import SelectionTask

HISTORY = Histories.from_lists([[3, 8, 5], []])
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture
def trained(six: Six) -> Personalizer:
    """With a share for every source."""
    shares = {name: SourceWeight(weight=2.0, recency=0.9) for name in ("log", "content", "popularity")}
    asked = shares | {name: SourceWeight(weight=2.0) for name in ("words", "picture", "cross_modal")}
    weights_by_task = {
        "recommendation": FusionWeights(shares=shares),
        "search": FusionWeights(shares=asked),
        "selection": FusionWeights(shares=shares),
    }
    run = TrainedRun(Path("run"), {}, {}, six.artifacts, six.model(), weights_by_task, six.dataset)
    return Personalizer(run, run.answerer)


def file_of(six: Six, row: int) -> bytes:
    """The picture file of an item of the data."""
    catalog = six.dataset.catalog
    reference = catalog.picture_references[row]
    assert reference is not None
    assert catalog.pictures is not None
    return next(iter(catalog.pictures.read([reference])))[1]


def twin(six: Six, trained: Personalizer, row: int, item_id: str = "twin") -> NewItem:
    """A new item with the words and the picture of another."""
    pixels = trained.item_pixels(file_of(six, row), item_id)
    return NewItem(item_id, six.dataset.catalog.item(row).attributes, pixels)


def catalog_of(model: Personalizer) -> Catalog:
    return model.run.dataset.catalog


def pictured(six: Six) -> int:
    return int(np.flatnonzero(np.array(six.artifacts.template.has_picture))[60])


def test_before_anything_is_put_the_answers_are_the_trained_ones(trained: Personalizer) -> None:
    stock = trained.upsert_items([])
    assert stock.index is not None
    queries = [Query("blue bag"), Query("", 7)]
    np.testing.assert_allclose(
        stock.answerer.decoder(RecommendationTask).score(HISTORY),
        trained.answerer.decoder(RecommendationTask).score(HISTORY),
        **CLOSE,
    )
    expected = trained.answerer.decoder(SearchTask).search(HISTORY, queries)
    np.testing.assert_allclose(stock.answerer.decoder(SearchTask).search(HISTORY, queries), expected, **CLOSE)


def test_a_twin_is_its_model_without_identity(six: Six, trained: Personalizer) -> None:
    """Its vector, its visual tokens, its places among words, pictures and alike items."""
    row = pictured(six)
    stock, new = trained.upsert_items([twin(six, trained, row)]), 320
    assert catalog_of(stock).rows(["twin"]) == [new]
    state, identity = stock.answerer.state, six.model().items.identity.weight.detach()
    expected = state.table_ID[row].clone()
    expected[: identity.shape[1]] -= identity[row]
    torch.testing.assert_close(state.table_ID[new], expected, rtol=1e-3, atol=2e-3)
    assert state.visual_IVE is not None
    torch.testing.assert_close(state.visual_IVE[new], state.visual_IVE[row], rtol=2e-3, atol=2e-3)
    searcher = stock.answerer.decoder(SearchTask)
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


def test_the_trained_items_keep_their_scores_among_themselves(six: Six, trained: Personalizer) -> None:
    """All by the same amount: the newcomer takes its share of the probability."""
    stock = trained.upsert_items([twin(six, trained, pictured(six))])
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


def test_every_task_knows_a_new_item(six: Six, trained: Personalizer) -> None:
    title = six.dataset.catalog.title
    assert title is not None
    row = pictured(six)
    item = twin(six, trained, row)
    p = trained.upsert_items([NewItem("new", {**item.attributes, title: "Zanzibar xylophone"}, item.picture)])
    history = [*six.dataset.catalog.item_ids[4:7], "new"]
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


@pytest.mark.parametrize("in_place", [False, True])
def test_an_upsert_changes_what_is_known_of_an_item(six: Six, trained: Personalizer, in_place: bool) -> None:
    """Words and picture of another item; its identity and its popularity stay."""
    row, other = pictured(six), pictured(six) + 7
    item_id = six.dataset.catalog.item_ids[row]
    before = trained.answerer.state.table_ID[row].clone()
    stock = trained.upsert_items([NewItem(item_id, twin(six, trained, other).attributes)], in_place=in_place)
    words_only = stock.answerer.state.table_ID[row].clone()
    assert not torch.allclose(words_only, before, atol=1e-3)
    stock = stock.upsert_items([twin(six, trained, other, item_id)], in_place=in_place)
    identity = six.model().items.identity.weight.detach()
    table = stock.answerer.state.table_ID
    expected = table[other].clone()
    expected[: identity.shape[1]] += identity[row] - identity[other]
    torch.testing.assert_close(table[row], expected, rtol=1e-3, atol=2e-3)
    assert len(catalog_of(stock)) == 320
    searcher = stock.answerer.decoder(SearchTask)
    assert searcher.sources.popularity[row] == six.artifacts.popularity[row]
    met = Histories.from_lists([[row], [other]])
    alike = searcher.sources.score("content", SourceWeight(weight=1.0), met)
    assert alike[0, other] == pytest.approx(alike[1, row], rel=1e-3)
    assert alike[1, row] > 0
    stock = stock.upsert_items([twin(six, trained, row, item_id)], in_place=in_place)
    torch.testing.assert_close(stock.answerer.state.table_ID[row], before, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("in_place", [False, True])
def test_many_upserts_in_any_batches_are_one(six: Six, trained: Personalizer, in_place: bool) -> None:
    """Also where an item is put again, and the room for rows was used up several times."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(320, size=300).tolist()
    names = [f"new {place % 240}" for place in range(300)]
    items = [
        NewItem(name, six.dataset.catalog.item(row).attributes)
        for name, row in zip(names, chosen, strict=True)
    ]
    one, several = trained.upsert_items(items), trained
    for start in range(0, 300, 7):
        several = several.upsert_items(items[start : start + 7], in_place=in_place)
    assert list(catalog_of(one).item_ids) == list(catalog_of(several).item_ids)
    assert len(catalog_of(one)) == 560
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


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_equal_an_index_made_from_scratch(six: Six, trained: Personalizer, seed: int) -> None:
    """Versions branch off older ones too; every version that was kept stays what it was, bit for bit."""
    rng = np.random.default_rng(seed)
    shown = np.flatnonzero(np.array(six.artifacts.template.has_picture))
    kept = [Version(trained, {}, set(), contents(trained))]
    for step in range(12):
        at = kept[-1 if rng.random() < 0.7 else int(rng.integers(len(kept)))]
        ids = [*catalog_of(at.model).item_ids]
        if rng.random() < 0.25:
            gone = rng.choice(ids, 3).tolist()
            model = at.model.remove_items(gone)
            kept.append(Version(model, at.items, at.removed | set(gone), contents(model)))
            continue
        put = {}
        for name in [*rng.choice(ids, 2).tolist(), *(f"{step}-{n}" for n in range(int(rng.integers(4))))]:
            item = twin(six, trained, int(rng.choice(shown)), name)
            put[name] = item if rng.random() < 0.3 else replace(item, picture=None)
        model = at.model.upsert_items([*put.values()])
        items = at.items | {
            name: item if item.picture is not None or name not in at.items
            else replace(item, picture=at.items[name].picture)
            for name, item in put.items()
        }  # fmt: skip
        kept.append(Version(model, items, at.removed - set(put), contents(model)))
    for version in kept:
        now, rows = contents(version.model), catalog_of(version.model).row_of
        in_order = [version.items[name] for name in sorted(version.items, key=lambda name: rows[name])]
        scratch = contents(trained.upsert_items(in_order).remove_items(sorted(version.removed)))
        # Visual tokens are kept in half precision: another batch may round one of them the other way, and the
        # scores of its item, of some hundreds, then differ in the third digit behind the point.
        rounded = (version.contents["visual"] != scratch["visual"]).any(axis=(1, 2))
        for name, before in version.contents.items():
            np.testing.assert_array_equal(now[name], before, err_msg=name)
            if name in ("scores", "found"):
                np.testing.assert_allclose(
                    before[:, rounded], scratch[name][:, rounded], rtol=1e-3, atol=0.03, err_msg=name
                )
                np.testing.assert_allclose(
                    before[:, ~rounded], scratch[name][:, ~rounded], rtol=1e-3, atol=1e-3, err_msg=name
                )
            else:
                np.testing.assert_allclose(before, scratch[name], rtol=1e-3, atol=1e-3, err_msg=name)


@dataclass(frozen=True)
class Version:
    """A personalizer, what was put into it and removed, and its contents when it was made."""

    model: Personalizer
    items: dict[str, NewItem]
    removed: set[str]
    contents: dict[str, np.ndarray]


def contents(model: Personalizer) -> dict[str, np.ndarray]:
    """Vectors, pictures, scores and words of one version."""
    state, answerer, catalog = model.answerer.state, model.answerer, catalog_of(model)
    assert state.visual_IVE is not None
    assert state.pictures_ID is not None
    met = Histories.from_lists([[3, 8, len(catalog) - 1], []])
    return {
        "table": state.table_ID.numpy().copy(),
        "visual": state.visual_IVE.numpy().copy(),
        "pictures": state.pictures_ID.numpy().copy(),
        "scores": answerer.decoder(RecommendationTask).score(met),
        "found": answerer.decoder(SearchTask).search(met, [Query("blue bag"), Query("", 7)]),
        "ids": np.array([*catalog.item_ids])
        == np.array([catalog.item_ids[row] for row in range(len(catalog))]),
        "rows": np.array([catalog.row_of[item_id] for item_id in catalog.item_ids]),
        "titles": np.array([len(catalog.label(row)) for row in range(len(catalog))]),
        "shown": np.array([reference is not None for reference in catalog.picture_references]),
    }


def test_removed_items_are_never_answered_with(six: Six, trained: Personalizer) -> None:
    ids = six.dataset.catalog.item_ids
    history, item = [ids[3], ids[8]], ids[40]
    gone = trained.remove_items([ids[3], item])
    found = gone.recommend(history, k=320, exclude_history=False)
    assert {ids[3], item}.isdisjoint(one.item_id for one in found.items)
    assert len(found.items) == 318
    assert found.history == tuple(history)
    assert item not in [one.item_id for one in gone.search("bag", k=320).items]
    selector = gone.answerer.decoder(SelectionTask)
    chosen = selector.select(HISTORY.slice(0, 1), [np.array([40, 50, 60])], [3])[0]
    assert sorted(chosen.tolist()) == [1, 2]
    for refused in (
        lambda: gone.select([item, ids[50]], history=history),
        lambda: gone.rate(item, history=history),
        lambda: gone.explain(item, history=history),
    ):
        with pytest.raises(DataError, match=f'unknown item "{item}"; it was removed'):
            refused()
    expected = trained.rate(ids[50], history=history).mean
    assert gone.rate(ids[50], history=history).mean == pytest.approx(expected)
    assert item in [one.item_id for one in trained.recommend(history, k=320).items]
    back = gone.upsert_items([NewItem(item, six.dataset.catalog.item(40).attributes)])
    assert item in [one.item_id for one in back.recommend(history, k=320).items]
    with pytest.raises(DataError, match='unknown item "nothing"'):
        trained.remove_items([item, "nothing"])


def test_the_trained_personalizer_stays_as_it_is(six: Six, trained: Personalizer) -> None:
    before = trained.answerer.decoder(RecommendationTask).score(HISTORY)
    table = trained.answerer.state.table_ID.clone()
    stock = trained.upsert_items(
        [twin(six, trained, pictured(six)), twin(six, trained, 3, six.dataset.catalog.item_ids[9])],
        in_place=True,
    )
    np.testing.assert_array_equal(trained.answerer.decoder(RecommendationTask).score(HISTORY), before)
    assert torch.equal(trained.answerer.state.table_ID, table)
    with pytest.raises(DataError, match='unknown item "twin"'):
        trained.recommend(["twin"])
    assert six.dataset.catalog.item(9).attributes != catalog_of(stock).item(9).attributes


def test_aspects_are_those_of_the_words_now(six: Six, trained: Personalizer) -> None:
    """What an explanation may say follows the attributes; what reviews said stays."""
    known = six.artifacts.context.aspects
    told = next(row for row in range(320) if six.dataset.catalog.item(row).attributes)
    stock = trained.upsert_items([NewItem("new", six.dataset.catalog.item(told).attributes)])
    aspects = stock.run.artifacts.context.aspects
    assert aspects[told] == known[told]
    assert aspects[320]
    assert aspects[320] <= known[told]
    again = stock.upsert_items([NewItem("new", {}), NewItem(six.dataset.catalog.item_ids[told], {})])
    changed = again.run.artifacts.context.aspects
    assert changed[320] == frozenset()
    assert changed[told] <= known[told]
    assert (len(aspects), len(changed), len(known)) == (321, 321, 320)
    assert aspects[320]


def test_pictures_of_upserted_items_are_fetched(six: Six, trained: Personalizer) -> None:
    item, row = twin(six, trained, pictured(six)), pictured(six)
    fetching = trained.with_fetch({"twin": b"file"}.get)
    for model in (fetching.upsert_items([item]), fetching.upsert_items([]).upsert_items([item])):
        catalog = catalog_of(model)
        assert catalog.pictures is not None
        references = [str(catalog.picture_references[row]), str(catalog.picture_references[320])]
        assert [data for _, data in catalog.pictures.read(references)] == [file_of(six, row), b"file"]
    bare = catalog_of(trained.upsert_items([item]))
    assert bare.pictures is not None
    with pytest.raises(DataError, match="is gone from the store"):
        list(bare.pictures.read([str(bare.picture_references[320])]))


def test_mistakes_put_nothing(trained: Personalizer) -> None:
    with pytest.raises(DataError, match='item "b": unknown attribute "colour of"'):
        trained.upsert_items([NewItem("a", {}), NewItem("b", {"colour of": "red"})])
    assert len(catalog_of(trained)) == 320
    broken = io.BytesIO()
    Image.new("RGB", (4, 4)).save(broken, "PNG")
    with pytest.raises(DataError, match='item "a"'):
        trained.item_pixels(broken.getvalue()[:30], "a")


def test_a_new_word_is_searched_and_takes_nothing_from_known_ones(six: Six, trained: Personalizer) -> None:
    """`Wombat` stands in no text of the data; the item's likeness to its known words is as its model's."""
    attributes = dict(six.dataset.catalog.item(40).attributes)
    title = attributes["title"]
    grown = trained.upsert_items([NewItem("wombat", {**attributes, "title": f"{title} Wombat"})])
    for number in range(20):  # more changes than are held apart
        grown = grown.upsert_items([NewItem(f"n{number}", {"title": f"Quokka{number}"})])
    assert grown.index is not None
    words, trained_words = grown.index.words, trained.answerer.sources.words
    assert words is not None
    assert trained_words is not None
    queries = ["wombat", title, f"{title} wombat", "quokka3", "numbat"]
    scores = words.score(queries)
    rows = np.arange(scores.shape[1])
    assert scores[[0, 2]].argmax(axis=1).tolist() == [320, 320]
    assert np.flatnonzero(scores[0]).tolist() == [320]
    np.testing.assert_allclose(scores[1, 320], trained_words.score([title])[0, 40], **CLOSE)
    assert (scores[2, :320] <= scores[1, :320]).all()
    assert np.flatnonzero(scores[3]).tolist() == catalog_of(grown).rows(["n3"])
    assert not scores[4].any()
    for query, expected in zip(queries, scores, strict=True):
        np.testing.assert_allclose(words.score_rows(query, rows), expected, **CLOSE)
    assert words.nearest("wombat", 5).tolist() == [320]
