"""Instead of a drawing: the real catalogue picture that fits the words best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unimp.answer import PictureArray, Query
from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import Histories, IntArray
from unimp.features.pixels import Pixels
from unimp.features.text import unit_rows
from unimp.tasks.image_generation.decoder import ModelImageGenerator
from unimp.tasks.rating.references import look_up
from unimp.tasks.search.references import DenseText
from unimp.tasks.selection.references import ContentSelector


@dataclass(frozen=True)
class NonPersonal:
    """The same model, given the words but not the history."""

    generator: ModelImageGenerator

    def imagine(self, histories: Histories, guidance: Sequence[Query], seed: int) -> PictureArray:
        """See `Imaginer`."""
        return self.generator.imagine(histories.first(0), guidance, seed)


@dataclass(frozen=True)
class NearestPicture:
    """The picture of the item whose text is nearest to the guidance, equals by likeness to the history.

    A catalogue item shown as guidance counts by its own text, and is never the answer itself. A picture from
    outside is not read.
    """

    dense: DenseText
    taste: ContentSelector
    pixels: Pixels

    @classmethod
    def fit(cls, catalog: Catalog, pixels: Pixels, dimensions: int = 128) -> NearestPicture:
        """DataError when no item has a picture, or no word is in two items."""
        if not pixels.present.any():
            raise DataError("nearest picture: no item of the catalogue has a picture")
        dense = DenseText.fit(catalog, dimensions)
        return cls(dense, ContentSelector.of(dense.items), pixels)

    def imagine(self, histories: Histories, guidance: Sequence[Query], seed: int) -> PictureArray:
        """uint8 [U, Y, X, 3], see `Imaginer`; the seed changes nothing."""
        return self.pixels.values[self.nearest(histories, guidance)]

    def nearest(self, histories: Histories, guidance: Sequence[Query]) -> IntArray:
        """[U] item rows of the pictures."""
        shown = np.array([query.picture_row for query in guidance], dtype=np.int64)
        wanted = self.dense.projector.project_texts([query.text for query in guidance])
        wanted = unit_rows(wanted + look_up(self.dense.items, shown))
        fits = wanted @ self.dense.items.T
        likeness = self.taste.profiles(histories) @ self.taste.content.T
        fits[:, ~self.pixels.present] = -np.inf
        alone = int(self.pixels.present.sum()) == 1
        for user in np.flatnonzero((shown >= 0) & (not alone)):
            fits[user, shown[user]] = -np.inf
        order = [
            np.lexsort((-alike, -np.round(fit, 6)))[0] for fit, alike in zip(fits, likeness, strict=True)
        ]
        return np.array(order, dtype=np.int64)
