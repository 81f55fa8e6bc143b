"""The items that `space.py` judges: words, picture descriptors, true attribute values, co-purchases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from space_methods import Known

from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, IntArray
from unimp.features.joint_space import ItemWords, attribute_words
from unimp.features.vision.catalog_features import picture_features
from unimp.features.vision.catalogue import CatalogueVision
from unimp.features.vision.config import VisionConfig
from unimp.features.vision.encoder import descriptors
from unimp.features.vision.source import EncoderSource
from unimp.fusion.pictures import picture_vectors

APART = 3
"""Events of one user that are at most so far apart count as bought together."""


@dataclass(frozen=True)
class Judged:
    """The items with a picture, in the order of the catalogue."""

    words: ItemWords
    descriptors: FloatArray
    first: np.ndarray
    second: np.ndarray
    """Attribute values that are judged."""
    titles: list[str]
    pairs: IntArray
    """[N, 2] places of items bought together."""
    thirds: np.ndarray

    def known(self, rows: IntArray) -> Known:
        place = np.full(len(self.words), -1)
        place[rows] = np.arange(len(rows))
        pairs = place[self.pairs]
        return Known(
            [self.words[row] for row in rows], self.descriptors[rows], pairs[(pairs >= 0).all(axis=1)]
        )


def load(data: Path, encoder: str, epochs: int) -> tuple[Judged, list[str]]:
    """The judged items, and the names of the two attributes."""
    dataset = Dataset.load(data)
    catalog = dataset.catalog
    hidden = data / "hidden.parquet"
    words = attribute_words(catalog)
    if hidden.exists():
        names = ["colour", "pattern"]
        truth = catalog.items.select("item_id").join(pl.read_parquet(hidden), on="item_id", how="left")
        for own, values in zip(words, truth.select(names).rows(), strict=True):
            own.extend([[value] for value in values])
    else:
        names, truth = ["colour_group_name", "product_type_name"], catalog.items
    rows = np.flatnonzero([name is not None for name in catalog.picture_references])
    title = catalog.texts[catalog.title or names[1]]
    judged = Judged(
        [words[row] for row in rows],
        described(catalog, encoder, epochs)[rows],
        *(np.array(truth[name].to_list())[rows] for name in names),
        titles=[title[row] or "" for row in rows],
        pairs=bought_together(dataset, rows),
        thirds=np.random.default_rng(0).permutation(len(rows)) % 3,
    )
    return judged, names


def described(catalog: Catalog, encoder: str, epochs: int) -> FloatArray:
    """[I, E] descriptors: parts joined by `+`, each centred and of mean length 1."""
    parts = []
    for name in encoder.split("+"):
        if name == "own":
            config = VisionConfig(
                kind="catalogue", height=64, image_width=64, token_width=64, pretrain_epochs=epochs
            )
            prepared = CatalogueVision.prepare(catalog, config, seed=0, show=True)
            assert prepared is not None
            assert prepared.visual_IVE is not None
            found = descriptors(prepared.visual_IVE, prepared.present_I)
        elif name == "efficientnet":
            source = EncoderSource("package:efficientnet-lite0", 128, 4)
            found = picture_features(catalog, source, show=True).mean(axis=1, dtype=np.float32)
        else:
            statistics = picture_vectors(catalog)
            assert statistics is not None
            found = statistics
        present = np.abs(found).sum(axis=1) > 0
        found = found - found[present].mean(axis=0)
        parts.append(found / np.sqrt((found[present] ** 2).sum(axis=1).mean()))
    return np.concatenate(parts, axis=1).astype(np.float32)


def bought_together(dataset: Dataset, rows: IntArray) -> IntArray:
    """[N, 2] places in `rows` of items that one user bought at most `APART` events apart."""
    place = np.full(len(dataset.catalog), -1)
    place[rows] = np.arange(len(rows))
    users = dataset.interactions.events["user_id"].to_numpy()
    items = place[dataset.interactions.events["item_row"].to_numpy()]
    found = []
    for apart in range(1, APART + 1):
        same = (users[apart:] == users[:-apart]) & (items[apart:] >= 0) & (items[:-apart] >= 0)
        found.append(np.stack([items[apart:][same], items[:-apart][same]], axis=1))
    return np.concatenate(found)
