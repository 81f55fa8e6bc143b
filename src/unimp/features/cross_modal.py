"""`CrossModalMatch`: how well a query's words go with an item's picture, whatever the item's text says."""

# N texts, P pictures, I items, V visual tokens per picture, E width of a visual token, K width of the space

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, IntArray
from unimp.features.joint_space import JointSpace, attribute_words, fit_ridge

FEWEST_ITEMS, MOST_ITEMS = 20, 20_000
"""Items with a picture and a text that the closed form needs, and takes."""
MOST_TERMS = 4096
"""Words and word pairs of a run's space at most."""


@dataclass(frozen=True)
class CrossModalMatch:
    """Cosine of free texts and the items' pictures in a `JointSpace`."""

    space: JointSpace
    placed_IK: FloatArray
    """Unit rows of the items' pictures, zeros without one."""
    describes: bool
    """Whether a picture's first visual token describes the whole picture; otherwise the mean of all does."""

    @classmethod
    def fit(
        cls, catalog: Catalog, visual_IVE: Tensor, present_I: Tensor, *, describes: bool
    ) -> CrossModalMatch | None:
        """The closed form; None where too few items have a picture and words that others share."""
        words, descriptors_IE = attribute_words(catalog), picture_descriptors(visual_IVE, describes=describes)
        present = present_I.cpu().numpy()
        rows = np.flatnonzero([bool(values) for values in words] & present)
        if len(rows) < FEWEST_ITEMS:
            return None
        if len(rows) > MOST_ITEMS:
            rows = np.sort(np.random.default_rng(0).choice(rows, MOST_ITEMS, replace=False))
        try:
            space = fit_ridge([words[row] for row in rows], descriptors_IE[rows], most_terms=MOST_TERMS)
        except DataError:
            return None
        placed_IK = space.place_pictures(descriptors_IE) * present[:, None]
        return cls(space, np.asarray(placed_IK, dtype=np.float32), describes)

    def place(self, visual_PVE: Tensor) -> FloatArray:
        """[P, K] unit rows of pictures by their visual tokens."""
        return self.space.place_pictures(picture_descriptors(visual_PVE, describes=self.describes))

    def score(self, texts: Sequence[str]) -> FloatArray:
        """[N, I] in [-1, 1]; zeros for a text without a known word, and for items without a picture."""
        return np.asarray(self.space.place_texts(texts) @ self.placed_IK.T, dtype=np.float32)

    def score_rows(self, text: str, rows: IntArray) -> FloatArray:
        """[len(rows)] what `score` gives these items."""
        return np.asarray(self.placed_IK[rows] @ self.space.place_texts([text])[0], dtype=np.float32)

    def nearest(self, text: str, most: int) -> IntArray:
        """At most `most` rows, those whose pictures go best with the text."""
        scores_I = self.score([text])[0]
        best = np.argsort(-scores_I, kind="stable")[:most]
        return np.asarray(best[scores_I[best] > 0], dtype=np.int64)


@torch.no_grad()
def picture_descriptors(visual_PVE: Tensor, *, describes: bool, batch: int = 1024) -> FloatArray:
    """[P, E] one vector a picture of its visual tokens."""
    parts = [
        (part[:, 0].float() if describes else part.float().mean(dim=1)).cpu()
        for part in visual_PVE.split(batch)
    ]
    found: FloatArray = torch.cat(parts).numpy()
    return found
