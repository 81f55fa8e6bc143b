"""Our own convolutional encoder, trained first on the catalogue's pictures, then frozen; features cached."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.features.cache import FeatureCache
from unimp.features.pixels import Pixels, load_pixels
from unimp.features.text import item_terms, term_matrix
from unimp.features.vision.config import VisionConfig
from unimp.features.vision.encoder import PreparedPictures, SavedVision, check_resampler
from unimp.features.vision.own_encoder import encode_pictures, trained_once
from unimp.model.vision import ConvEncoder, pixels_from_bytes

WORDS = 400
"""Most frequent catalogue words, which the pretext task predicts from a picture."""
BATCH = 64


class Pretext(nn.Module):
    """The pretext task: predict the item's words from the mean token, and each cell's colours from its own.

    The words teach what the catalogue names; the colours preserve what no text mentions.
    """

    def __init__(self, width: int, words: int) -> None:
        super().__init__()
        self.encoder = ConvEncoder(width)
        self.words = nn.Linear(width, words)
        self.colours = nn.Linear(width, 3 * 4 * 4)

    def loss(self, pixels_P3YX: Tensor, words_PW: Tensor) -> Tensor:
        visual = self.encoder(pixels_P3YX)
        by_words = F.binary_cross_entropy_with_logits(self.words(visual.mean(dim=1)), words_PW)
        small = F.avg_pool2d(pixels_P3YX, 2)  # each grid cell of 8 x 8 pixels as 4 x 4 colours
        cells = F.unfold(small, kernel_size=4, stride=4).transpose(1, 2)
        return by_words * 10.0 + F.mse_loss(self.colours(visual), cells) * 10.0


def word_targets(catalog: Catalog) -> Tensor:
    """[I, W] 1 where an item's text has the word."""
    terms = item_terms(catalog)
    frequency: dict[str, int] = {}
    for item in terms:
        for term in set(item):
            frequency[term] = frequency.get(term, 0) + 1
    useful = [term for term, count in frequency.items() if 2 <= count <= len(catalog) * 0.8]
    chosen = sorted(useful, key=lambda term: (-frequency[term], term))[:WORDS] or sorted(frequency)[:1]
    matrix = term_matrix(terms, {term: column for column, term in enumerate(chosen)})
    return torch.from_numpy((matrix.toarray() > 0).astype(np.float32))


def pretrain(catalog: Catalog, pixels: Pixels, config: VisionConfig, *, seed: int, show: bool) -> ConvEncoder:
    """Train the encoder; deterministic by seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        words = word_targets(catalog)
        model = Pretext(config.token_width, words.shape[1])
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
        rows = torch.from_numpy(np.flatnonzero(pixels.present))
        values = torch.from_numpy(pixels.values)
        steps = config.pretrain_epochs * -(-len(rows) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(steps, 2))
        with progress_bar("training the vision encoder", steps, show=show) as bar:
            for _ in range(config.pretrain_epochs):
                for chosen in rows[torch.randperm(len(rows))].split(BATCH):
                    loss = model.loss(pixels_from_bytes(values[chosen]), words[chosen])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    bar.advance(note=f"loss {loss.item():.3f}")
    return model.encoder.eval()


@dataclass(frozen=True)
class FrozenConvVision:
    """A `VisionEncoder` whose network is a `ConvEncoder` that was trained on the catalogue's pictures."""

    maps_features: ClassVar[bool] = False
    describes: ClassVar[bool] = False
    trained: ClassVar[bool] = False
    weights: ClassVar[None] = None

    encoder: ConvEncoder
    picture_size: tuple[int, int]

    @property
    def token_width(self) -> int:
        return self.encoder.width

    def network(self) -> nn.Module:
        return self.encoder

    def tensors(self) -> dict[str, Tensor]:
        return self.encoder.state_dict()

    @classmethod
    def prepare(
        cls, catalog: Catalog, config: VisionConfig, *, seed: int, show: bool
    ) -> PreparedPictures | None:
        """Encoder and features come from the cache where it holds those of the same pictures and words."""
        pixels = load_pixels(catalog, *config.own_size, show_progress=show)
        if pixels is None:
            return None
        check_resampler(config, config.own_tokens)
        words = hashlib.sha256(json.dumps(item_terms(catalog)).encode()).hexdigest()[:16]
        shape = f"{config.height}x{config.image_width}-{config.token_width}-{config.pretrain_epochs}"
        identity = f"conv-{shape}-{seed}-{words}"
        cache = FeatureCache.at_default_place()
        encoder = trained_once(
            cache,
            identity,
            pixels,
            ConvEncoder(config.token_width),
            lambda: pretrain(catalog, pixels, config, seed=seed, show=show),
        )
        features = cache.get_or_make(identity, pixels.digest, lambda: encode_pictures(encoder, pixels))
        present = torch.from_numpy(pixels.present)
        return PreparedPictures(
            cls(encoder, config.own_size), present, config.own_tokens, visual_IVE=features
        )

    @classmethod
    def load(cls, config: VisionConfig, saved: SavedVision) -> Self:
        encoder = ConvEncoder(saved.token_width)
        encoder.load_state_dict(saved.tensors)
        return cls(encoder.eval().requires_grad_(False), config.own_size)
