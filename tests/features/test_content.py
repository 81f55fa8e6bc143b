"""The benchmark's item features: what is there, and what a method says when it is not."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.data.csv_shop import import_csv
from tests.features.tiny import WIDTH, text_folder, vision_folder
from unimp.baselines.baseline import TrainingData
from unimp.core.errors import DataError
from unimp.data.dataset import Dataset
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.features.for_methods import CatalogFeatures
from unimp.features.vision.config import VisionConfig
from unimp.testing.world import toy_world


def test_text_of_items_of_one_kind_is_alike_and_pictures_are_missing() -> None:
    features = CatalogFeatures(toy_world().catalog, dimensions=12)
    text = features.text()
    assert text is not None
    assert text.shape == (61, 12)
    np.testing.assert_allclose(np.linalg.norm(text, axis=1), 1.0, rtol=1e-5)
    assert text[0] @ text[1] > text[0] @ text[11]
    assert features.text() is text
    assert features.image() is None


def test_a_method_without_pictures_says_the_column_and_what_else_works() -> None:
    world = toy_world()
    data = TrainingData.of(world.split, world.catalog, features=CatalogFeatures(world.catalog))
    with pytest.raises(DataError, match=r'VBPR: needs pictures, and column "picture".*: pop, itemknn'):
        data.content("image", "VBPR")


def test_training_data_without_features_says_so() -> None:
    world = toy_world()
    with pytest.raises(DataError, match="the training data brings none"):
        TrainingData.of(world.split, world.catalog).content("text", "MMSSL")


@pytest.fixture
def shop_data(shop_folder: Path, tmp_path: Path) -> Dataset:
    return import_csv(shop_folder, tmp_path / "data")


def test_pictures_are_pooled(shop_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "cache"))
    vision = VisionConfig(height=16, image_width=16, token_width=8, pretrain_epochs=1)
    image = CatalogFeatures(shop_data.catalog, vision=vision).image()
    assert image is not None
    assert image.shape == (len(shop_data.catalog), 8)
    assert image.dtype == np.float32
    missing = [reference is None for reference in shop_data.catalog.picture_references]
    assert (image[missing] == 0).all()
    assert np.abs(image[~np.array(missing)]).sum() > 0


def test_pretrained_features_are_named_with_their_weights(
    shop_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "cache"))
    clip = vision_folder(tmp_path / "clip", "clip_vision_model")
    bert = text_folder(tmp_path / "bert")
    vision = VisionConfig(encoder=str(clip), tokens=1, token_width=0)
    features = CatalogFeatures(shop_data.catalog, text_encoder=str(bert), vision=vision)
    text, image = features.text(), features.image()
    assert text is not None
    assert image is not None
    assert text.shape == image.shape == (len(shop_data.catalog), WIDTH)
    missing = [reference is None for reference in shop_data.catalog.picture_references]
    assert (image[missing] == 0).all()
    assert re.fullmatch(
        rf"text {bert} \(bert-[0-9a-f]{{16}}\), pictures {clip} \(clip_vision_model-[0-9a-f]{{16}}\)",
        features.described,
    )
    named = BenchmarkProtocol(features=features.described)
    assert named.model_dump()["features"] == features.described
    assert (
        "features"
        not in BenchmarkProtocol(features=CatalogFeatures(shop_data.catalog).described).model_dump()
    )
