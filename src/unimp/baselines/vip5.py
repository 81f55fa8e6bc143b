"""VIP5: P5 that sees; every item of a prompt is followed by tokens made from its picture."""

# B users, T tokens, D width, I items, F picture features, S tokens of a picture

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import Arrays, Modality, TrainingData
from unimp.baselines.p5 import P5, P5Config, P5Network
from unimp.baselines.shared.prompts import Prompts
from unimp.baselines.shared.transformer import draw_small
from unimp.baselines.vbpr import centred
from unimp.core.search_space import Choice, SearchSpace


class VIP5Config(P5Config):
    content: Modality = "image"
    """What stands for the picture; `text` lets the method run on a catalogue without pictures."""
    visual_tokens: int = Field(default=2, ge=1)
    """Tokens that a picture becomes; the paper's is 2."""
    epochs: int = Field(default=20, ge=1)
    """At most this many passes; each reads almost twice as many tokens as P5's."""
    adapter: int = Field(default=16, ge=1)
    """Inner width of the adapters; the paper divides the width by 8."""

    search_space: ClassVar[SearchSpace] = {
        **{key: ends for key, ends in P5Config.search_space.items() if key != "weight_decay"},
        "visual_tokens": Choice((1, 2, 3)),
    }


class VIP5Network(P5Network):
    """P5 with a mapping from features to tokens, a vector per kind of token, adapters in every layer."""

    features: Tensor
    """[I, F]."""

    def __init__(self, config: VIP5Config, codes_IL: Tensor, features_IF: Tensor) -> None:
        super().__init__(config, codes_IL, config.adapter)
        width, self.visual_tokens = config.width, config.visual_tokens
        self.mapping = nn.Sequential(
            nn.Linear(features_IF.shape[1], width), nn.ReLU(), nn.Linear(width, self.visual_tokens * width)
        )
        self.kinds = nn.Embedding(2, width)
        draw_small(self.mapping)
        draw_small(self.kinds)
        self.register_buffer("features", features_IF)

    def embed(self, prompts: Prompts) -> Tensor:
        """[B, T, D]; where a picture stands its own token takes the place of a word's."""
        seen_BT = prompts.items_BT >= 0
        items, places = prompts.items_BT[seen_BT].unique(return_inverse=True)
        visual_NSD = self.mapping(self.features[items]).view(len(items), self.visual_tokens, -1)
        tokens_BTD = self.t5.tokens(prompts.tokens_BT)
        tokens_BTD = tokens_BTD.masked_scatter(
            seen_BT[..., None], visual_NSD[places, prompts.slots_BT[seen_BT]]
        )
        embedded: Tensor = tokens_BTD + self.whole_words(prompts.words_BT) + self.kinds(seen_BT.long())
        return embedded


class VIP5(P5):
    """Visual P5 (Geng et al., Findings of EMNLP 2023), the sequential prompts.

    Visual tokens p_1 … p_k = f(picture) behind each item's id (sec. 3.1) and vectors for the kind of a token;
    adapters h + W_up σ(W_down h) upon attention and feed-forward in every layer (sec. 3.3). Deviations: those
    of P5; nothing is pre-trained, so backbone and adapters learn together where the paper freezes the one and
    tunes the other; features are the benchmark's own pictures (pooled, centred and scaled), not CLIP's; no
    explanation and no direct recommendation.
    """

    config_class = VIP5Config
    config: VIP5Config
    module: VIP5Network
    content: Tensor

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        self.content = centred(data.content(self.config.content, type(self).__name__))
        super().learn(data, seed=seed, show_progress=show_progress)

    def restore(self, arrays: Arrays) -> None:
        self.content = torch.from_numpy(arrays["features"])
        super().restore(arrays)

    @property
    def visual_tokens(self) -> int:  # type: ignore[override]  # a constant of P5, a setting here
        return self.config.visual_tokens

    def network(self) -> VIP5Network:
        return VIP5Network(self.config, self.codes, self.content)
