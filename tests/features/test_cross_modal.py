"""Words against pictures in a run: fitted, saved, mixed in where validation wants it, and for new items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from tests.six import Six
from unimp.answer import Query
from unimp.core.files import read_tensors, write_tensors
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import Histories
from unimp.data.upserts import NewItem
from unimp.features.cross_modal import CrossModalMatch
from unimp.fusion.structure import StructureConfig
from unimp.inference.score_sources import CROSS_MODAL, FusionWeights, SourceWeight
from unimp.personalizer import Personalizer
from unimp.runs.artifact_files import ITEMS, load_artifacts, save_artifacts
from unimp.runs.open_run import TrainedRun
from unimp.tasks.search.fitting import fit_search
from unimp.tasks.search.task import SearchTask

COLOURS = ("red", "blue", "green")
CODES = np.arange(60) % 3
HISTORY = Histories.from_lists([[3, 8, 5]])
QUERIES = [Query("red bag"), Query("zyzzyva"), Query("")]


def catalog_of(colours: list[str | None]) -> Catalog:
    columns = {"item_id": [f"i{row}" for row in range(len(colours))], "colour": colours}
    table = pl.DataFrame(columns, schema_overrides={"colour": pl.String})
    return Catalog(
        table.with_columns(picture=pl.lit(None, dtype=pl.String)), (Attribute("colour", "category"),)
    )


def tokens() -> Tensor:
    """[60, 2, 8]: both cells show the item's colour, beside noise."""
    noise = 0.1 * np.random.default_rng(3).normal(size=(60, 2, 8)).astype(np.float32)
    noise[:, :, :3] += np.eye(3, dtype=np.float32)[CODES][:, None]
    return torch.from_numpy(noise)


def words_until(count: int) -> Catalog:
    """Sixty items, of which the first so many have words."""
    return catalog_of([COLOURS[code] if row < count else None for row, code in enumerate(CODES)])


@pytest.fixture(scope="module")
def match() -> CrossModalMatch:
    """Items 50 to 59 have a picture alone; 0 to 4 have none."""
    present = torch.arange(60) >= 5
    found = CrossModalMatch.fit(words_until(50), tokens(), present, describes=False)
    assert found is not None
    return found


def personalizer(six: Six, weight: float = 4.0) -> Personalizer:
    """Its search mixes in this source alone."""
    shares = {"search": FusionWeights(shares={CROSS_MODAL: SourceWeight(weight=weight)})}
    run = TrainedRun(Path("run"), {}, {}, six.artifacts, six.model(), shares, six.dataset)
    return Personalizer(run, run.answerer)


def test_words_find_items_that_have_a_picture_alone(match: CrossModalMatch) -> None:
    scores = match.score(["Green"])[0]
    green, bare = CODES == 2, np.arange(60) >= 50
    assert scores[green & bare].min() > scores[~green].max()
    best = match.nearest("green", 18)
    assert (CODES[best] == 2).all()
    assert set(np.flatnonzero(green & bare)) <= set(best.tolist())
    np.testing.assert_allclose(match.score_rows("green", np.array([53, 2])), scores[[53, 2]], atol=1e-5)


def test_it_has_no_opinion_of_unknown_words_or_of_items_without_a_picture(match: CrossModalMatch) -> None:
    assert not match.score(["", "zeppelin"]).any()
    assert not match.score(["red"])[0, :5].any()
    assert match.nearest("zeppelin", 5).tolist() == []


def test_too_few_words_or_pictures_that_look_the_same_have_none() -> None:
    everything = torch.ones(60, dtype=torch.bool)
    assert CrossModalMatch.fit(words_until(10), tokens(), everything, describes=True) is None
    alone = catalog_of([f"word{row}" for row in range(60)])
    assert CrossModalMatch.fit(alone, tokens(), everything, describes=True) is None
    same = tokens()[:1].expand(60, -1, -1)
    assert CrossModalMatch.fit(words_until(60), same, everything, describes=True) is None


def test_a_run_answers_the_same_after_it_was_loaded(six: Six, tmp_path: Path) -> None:
    assert six.artifacts.cross_modal is not None
    save_artifacts(tmp_path, six.artifacts)
    again = load_artifacts(tmp_path, six.artifacts.recipe, six.dataset, torch.device("cpu"))
    expected = personalizer(six).answerer.decoder(SearchTask)
    found = personalizer(replace_artifacts(six, again)).answerer.decoder(SearchTask)
    repeated = Histories.from_lists([[3, 8, 5]] * 3)
    scores = expected.search(repeated, QUERIES)
    np.testing.assert_allclose(found.search(repeated, QUERIES), scores, rtol=1e-5, atol=1e-5)
    alone = expected.log_probabilities(repeated, QUERIES)
    assert np.abs(scores[0] - alone[0]).max() > 0.1
    np.testing.assert_allclose(scores[1:], alone[1:], rtol=1e-5, atol=1e-5)


def replace_artifacts(six: Six, artifacts: object) -> Six:
    return replace(six, artifacts=artifacts)  # type: ignore[arg-type]


def test_a_run_of_before_loads_and_answers_without_it(six: Six, tmp_path: Path) -> None:
    save_artifacts(tmp_path, six.artifacts)
    tensors, facts = read_tensors(tmp_path / ITEMS)
    old = {name: tensor for name, tensor in tensors.items() if not name.startswith("cross_modal.")}
    del facts["cross_modal"]
    write_tensors(tmp_path / ITEMS, old, facts)
    again = load_artifacts(tmp_path, six.artifacts.recipe, six.dataset, torch.device("cpu"))
    assert again.cross_modal is None
    searcher = personalizer(replace_artifacts(six, again)).answerer.decoder(SearchTask)
    assert CROSS_MODAL not in searcher.sources.names(QUERIES)
    np.testing.assert_array_equal(
        searcher.search(HISTORY, QUERIES[:1]), searcher.log_probabilities(HISTORY, QUERIES[:1])
    )


def test_where_it_does_not_help_it_gets_no_weight(six: Six) -> None:
    """Mixed in last: a source without an opinion leaves the other weights as they are."""
    searcher, config = six.answerer.decoder(SearchTask), StructureConfig(weights=(2.0, 8.0), recencies=(1.0,))
    assert searcher.sources.cross_modal is not None
    mute = replace(
        searcher.sources.cross_modal, placed_IK=np.zeros_like(searcher.sources.cross_modal.placed_IK)
    )
    fitted = {}
    for name, found in (("mute", mute), ("none", None)):
        changed = replace(searcher, sources=replace(searcher.sources, cross_modal=found))
        fitted[name] = fit_search(changed, six.task("search"), six.split.valid, config)
    assert f"round 2: {CROSS_MODAL}" in fitted["mute"].reached
    assert CROSS_MODAL not in fitted["mute"].fusion_weights.shares
    assert fitted["mute"].fusion_weights == fitted["none"].fusion_weights


def test_where_it_knows_the_answer_it_gets_a_weight(six: Six) -> None:
    searcher, task, valid = six.answerer.decoder(SearchTask), six.task("search"), six.split.valid
    config = StructureConfig(weights=(64.0,), popularity_weights=(0.1,), recencies=(1.0,))
    posed = [found.query.text for found in task.queries(valid) if found is not None]
    right = [row for row, found in zip(valid.target_rows, task.queries(valid), strict=True) if found]

    class Knowing(CrossModalMatch):
        def score(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
            scores = np.zeros((len(texts), len(self.placed_IK)), dtype=np.float32)
            places = [place for place in range(len(texts)) if texts[place]]
            assert [posed[place] for place in places] == [texts[place] for place in places]
            scores[places, [right[place] for place in places]] = 1.0
            return scores

    old = searcher.sources.cross_modal
    assert old is not None
    knowing = Knowing(old.space, old.placed_IK, old.describes)
    changed = replace(searcher, sources=replace(searcher.sources, cross_modal=knowing))
    assert fit_search(changed, task, valid, config).fusion_weights.shares[CROSS_MODAL].weight == 64.0


def test_a_new_item_with_a_picture_and_no_words_is_found_by_words(six: Six) -> None:
    model = personalizer(six, weight=1000.0)
    sources = model.answerer.sources
    assert sources.cross_modal is not None
    known = [term for term in sources.cross_modal.space.terms.vocabulary if " " not in term]
    word = known[int(sources.cross_modal.score(known).max(axis=1).argmax())]
    row = int(sources.cross_modal.nearest(word, 1)[0])
    catalog = six.dataset.catalog
    assert catalog.pictures is not None
    file = next(iter(catalog.pictures.read([str(catalog.picture_references[row])])))[1]
    stock = model.upsert_items([NewItem("bare", {}, model.item_pixels(file, "bare")), NewItem("blank", {})])
    found = stock.answerer.sources.cross_modal
    assert found is not None
    scores = found.score([word])[0]
    assert scores[320] == pytest.approx(scores[row], abs=5e-3)
    assert scores[321] == 0.0
    assert "bare" in [item.item_id for item in stock.search(word, k=32).items]
    assert len(sources.cross_modal.placed_IK) == 320
    shown = stock.upsert_items([NewItem("blank", {}, model.item_pixels(file, "blank"))], in_place=True)
    again = shown.answerer.sources.cross_modal
    assert again is not None
    assert again.score([word])[0, 321] == pytest.approx(scores[row], abs=5e-3)
