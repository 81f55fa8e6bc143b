"""`CatalogFeatures`: frozen text and picture features, as the benchmark hands them to methods."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray
from unimp.encode.content import ContentConfig, fit_text
from unimp.encode.pictures import VisionConfig, load_pixels


class CatalogFeatures:
    """The same cached encoders that UniMP reads by, made when a method first asks.

    Nothing here looks at the log: text is TF-IDF reduced by SVD, pictures are the frozen encoder's visual
    tokens, averaged.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        dimensions: int | None = None,
        vision: VisionConfig | None = None,
        show_progress: bool = False,
    ) -> None:
        self.catalog = catalog
        self.dimensions = ContentConfig().text if dimensions is None else dimensions
        self.vision = vision or VisionConfig()
        self.show_progress = show_progress

    def text(self) -> FloatArray | None:
        """[num_items, F] unit rows; None when no two items share a word."""
        return self._text

    def image(self) -> FloatArray | None:
        """[num_items, E]; None when no item has a picture."""
        return self._image

    @cached_property
    def _text(self) -> FloatArray | None:
        projector = fit_text(self.catalog, self.dimensions)
        return None if projector is None else projector.project(self.catalog)

    @cached_property
    def _image(self) -> FloatArray | None:
        from unimp.train.vision import frozen_vision

        config, show = self.vision, self.show_progress
        pixels = load_pixels(self.catalog, config.height, config.picture_width, show_progress=show)
        if pixels is None:
            return None
        tokens = frozen_vision(self.catalog, pixels, config, seed=0, show=show).features_IVE
        pooled = tokens.float().mean(dim=1).numpy()
        return np.where(pixels.present[:, None], pooled, 0.0).astype(np.float32)
