"""`CatalogFeatures`: frozen text and picture features, as the benchmark hands them to methods."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from unimp.core.weights import find_weights
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray
from unimp.features.sentence_embeddings import fit_sentences
from unimp.features.text import ContentConfig, fit_text
from unimp.features.vision.config import VisionConfig


class CatalogFeatures:
    """Text and pictures by the same cached encoders as UniMP's, computed when a method first asks.

    Nothing here looks at the log: text is TF-IDF reduced by SVD, or a pretrained sentence encoder's vectors
    less their mean; pictures are the frozen encoder's visual tokens, averaged.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        dimensions: int | None = None,
        text_encoder: str = "",
        vision: VisionConfig | None = None,
        show_progress: bool = False,
    ) -> None:
        """`text_encoder`, `vision.encoder`: a package, folder or hub id of pretrained weights."""
        self.catalog = catalog
        self.dimensions = ContentConfig().text if dimensions is None else dimensions
        self.text_encoder = text_encoder
        self.vision = vision or VisionConfig()
        self.show_progress = show_progress

    def text(self) -> FloatArray | None:
        """[num_items, F] unit rows; None when no two items share a word."""
        return self._text

    def image(self) -> FloatArray | None:
        """[num_items, E]; None when no item has a picture."""
        return self._image

    @property
    def described(self) -> str:
        """The pretrained encoders and the hashes of their weights; empty when there are none."""
        named = {"text": self.text_encoder, "pictures": self.vision.encoder}
        return ", ".join(
            f"{kind} {name} ({find_weights(name, f'{kind} encoder').identity})"
            for kind, name in named.items()
            if name
        )

    @cached_property
    def _text(self) -> FloatArray | None:
        if self.text_encoder:
            config = ContentConfig(encoder=self.text_encoder)
            sentences = fit_sentences(self.catalog, config, show=self.show_progress)
            assert sentences is not None
            return sentences.project(self.catalog)
        projector = fit_text(self.catalog, self.dimensions)
        return None if projector is None else projector.project(self.catalog)

    @cached_property
    def _image(self) -> FloatArray | None:
        from unimp.features.vision.encoder import encoder_class

        if not any(self.catalog.picture_references):
            return None
        vision = encoder_class(self.vision)
        pictures = vision.prepare(self.catalog, self.vision, seed=0, show=self.show_progress)
        if pictures is None:
            return None
        assert pictures.visual_IVE is not None, "methods read a frozen encoder"
        pooled = pictures.visual_IVE.float().mean(dim=1).numpy()
        return np.where(pictures.present_I.numpy()[:, None], pooled, 0.0).astype(np.float32)
