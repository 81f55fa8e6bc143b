"""Searching with an item's own catalogue picture finds that item, whatever validation chose."""

from __future__ import annotations

import numpy as np

from tests.six import Six
from unimp.inference.score_sources import FusionWeights
from unimp.inference.searching import lift_same_picture
from unimp.personalizer import Personalizer
from unimp.runs.open_run import TrainedRun
from unimp.tasks.search.task import SearchTask


def test_the_item_comes_first_and_like_ones_follow() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 1]]
    vectors[2] = [0.0, 0.8, 0.6, 0.0]
    scores = np.array([-1.0, -30.0, -20.0, -9.0], dtype=np.float32)
    lift_same_picture(scores, vectors, 4)
    assert np.argsort(-scores).tolist() == [1, 2, 0, 3]
    assert np.isfinite(scores).all()


def test_a_hidden_item_is_not_lifted() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [1, 0], [1, 0]], dtype=np.float32)
    scores = np.array([-np.inf, -2.0, -3.0], dtype=np.float32)
    lift_same_picture(scores, vectors, 3)
    assert scores[0] == -np.inf
    assert np.argsort(-scores[1:]).tolist() == [1, 0]
    assert np.isfinite(scores[1:]).all()
    scores = np.array([-np.inf, -2.0, -np.inf], dtype=np.float32)
    lift_same_picture(scores, vectors, 3)
    assert scores.tolist() == [-np.inf, -2.0, -np.inf]


def test_another_picture_changes_nothing() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6]], dtype=np.float32)
    scores = np.array([-1.0, -2.0], dtype=np.float32)
    lift_same_picture(scores, vectors, 2)
    lift_same_picture(scores, None, 2)
    assert scores.tolist() == [-1, -2]


def test_every_catalogue_picture_brings_its_item(six: Six) -> None:
    run = TrainedRun(six.dataset.folder, {}, {}, six.artifacts, six.model(), {}, six.dataset)
    assert run.answerer.decoder(SearchTask).fusion_weights == FusionWeights()  # likeness has no share
    personalizer, catalog = Personalizer(run, run.answerer), six.dataset.catalog
    rows = [row for row, name in enumerate(catalog.picture_references) if name is not None][::40]
    source = catalog.pictures
    assert source is not None
    for row in rows:
        ((_, data),) = source.read([catalog.picture_references[row] or ""])
        first = personalizer.search(picture=data, history=[], k=1).items[0].item_id
        pictures = run.answerer.decoder(SearchTask).sources.pictures
        assert pictures is not None
        found = catalog.row_of[first]
        assert pictures[found] @ pictures[row] > 0.9999  # it, or one that looks the same to this encoder
    assert len(rows) > 3


def test_a_cropped_picture_brings_its_item(six: Six) -> None:
    import io

    from PIL import Image

    run = TrainedRun(six.dataset.folder, {}, {}, six.artifacts, six.model(), {}, six.dataset)
    personalizer, catalog = Personalizer(run, run.answerer), six.dataset.catalog
    row = next(row for row, name in enumerate(catalog.picture_references) if name is not None)
    assert catalog.pictures is not None
    ((_, data),) = catalog.pictures.read([catalog.picture_references[row] or ""])
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").crop((1, 1, 15, 15)).save(file, "JPEG", quality=90)
    found = personalizer.search(picture=file.getvalue(), history=[], k=1).items[0].item_id
    pixels = personalizer.item_pixels(file.getvalue(), "photo")
    assert pixels is not None
    photos = personalizer.answerer.sources.photos
    assert photos is not None
    same = photos.showing(pixels[None]).find(0)
    assert row in same
    assert catalog.row_of[found] in same


def test_without_the_same_picture_the_nearest_descriptor_comes_first(six: Six) -> None:
    run = TrainedRun(six.dataset.folder, {}, {}, six.artifacts, six.model(), {}, six.dataset)
    answerer, size = run.answerer, six.artifacts.picture_size
    noise = np.random.default_rng(0).integers(0, 255, (1, *size, 3), dtype=np.uint8)
    searcher = answerer.seeing(answerer.see(noise), noise).decoder(SearchTask)
    known, row = searcher.sources.pictures, len(six.dataset.catalog)
    assert known is not None
    assert searcher.sources.same_picture(row).tolist() == []
    scores = np.zeros(row, dtype=np.float32)
    searcher.lift_same_picture(scores, row)
    assert int(scores.argmax()) == int(np.argmax(known[:-1] @ known[-1]))
