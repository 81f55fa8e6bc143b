"""Of several drawn pictures the one that the model itself would find first: its search, turned on them."""

# U users, N pictures per user, X = U * N pictures from outside, D width

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unimp.answer import PictureArray, Query
from unimp.data.histories import FloatArray, Histories
from unimp.data.pictures import fit_pixels
from unimp.inference.decoder import Decoder
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.reading import hidden_at_end
from unimp.inference.score_sources import ScoreSources
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.parts import UserSentence

PictureQuestion = Callable[[Histories, int, Query], UserSentence]
See = Callable[[PictureArray], Tensor]
"""uint8 pictures [X, Y, X', 3] at the encoder's size -> visual tokens [X, V, E]."""


@dataclass
class PictureReranker(Decoder):
    """How well pictures suit a user and a wish: as re-ranking by CLIP does for words (Ramesh et al. 2021)."""

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    question: PictureQuestion
    """The sentence whose answer is an item: that of search, or of recommendation."""
    see: See
    size: tuple[int, int]
    """Rows and columns of the pixels that `see` reads."""
    cache: PrefixCache | None = None

    def with_items(self, state: ItemState, sources: ScoreSources) -> Self:
        return replace(self, state=state)

    @torch.inference_mode()
    def sought(self, histories: Histories, queries: Sequence[Query]) -> Tensor:
        """[U, ·] what the items that each user would find are sought by."""
        questions = [self.question(histories, user, query) for user, query in enumerate(queries)]
        encoded = [self.encoder.encode(question) for question in questions]
        names = histories.user_ids.tolist()
        return self.model.sought(hidden_at_end(self.model, self.state, encoded, self.cache, names))

    @torch.inference_mode()
    def score(self, sought_UD: Tensor, pictures: PictureArray) -> FloatArray:
        """[U, N] the picture's part in the logit of an item that looked so; pictures [U, N, Y, X, 3]."""
        users, number = pictures.shape[:2]
        visual_XVE = self.see(self.fitted(pictures))
        shown_X = visual_XVE.new_ones(len(visual_XVE), dtype=torch.bool)
        pooled_XC = self.model.picture_norm(visual_XVE, shown_X)
        vectors_UND = self.model.picture_parts(pooled_XC).view(users, number, -1)
        scores = torch.einsum("ud,und->un", sought_UD[:, : vectors_UND.shape[2]], vectors_UND)
        return np.asarray(scores.cpu().numpy(), dtype=np.float32)

    def fitted(self, pictures: PictureArray) -> PictureArray:
        """[U * N, height, width, 3] as the catalogue's own pictures are brought to size."""
        flat = pictures.reshape(-1, *pictures.shape[2:])
        return np.stack([fit_pixels(Image.fromarray(pixels), *self.size) for pixels in flat])
