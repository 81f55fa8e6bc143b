"""Item pictures by a pretrained encoder: frozen with cached features, or ready to be trained along."""

# I items, P pictures, V visual tokens, E width of the encoder's tokens, F width that is kept

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.pictures import PixelArray, fit_pixels, open_picture, reading_mark
from unimp.features.cache import FeatureStore, HalfArray, content_key
from unimp.features.pixels import VisionConfig, load_pixels
from unimp.features.reduction import Reduction
from unimp.features.vision.pretrained import EncoderSource, PretrainedVision
from unimp.model.vision import pixels_from_bytes, pool_tokens

SAMPLE = 200_000
"""Visual tokens that the reduction is fitted on, at most."""
TRAINED_SAMPLE = 64
"""Pictures it is fitted on where the encoder is trained along."""
BATCH = 32


@dataclass(frozen=True)
class PretrainedPictures:
    """What a pretrained encoder makes of a catalogue."""

    sight: PretrainedVision
    present_I: Tensor
    """bool."""
    visual_IVF: Tensor | None
    """fp16 visual tokens of a frozen encoder."""
    pixels_IYX3: Tensor | None
    """uint8 pictures for one that is trained along."""
    width: int
    tokens: int


def pretrained_pictures(catalog: Catalog, config: VisionConfig, *, show: bool) -> PretrainedPictures:
    """ConfigError when no item has a picture, or the encoder or its grid cannot be had."""
    if catalog.pictures is None or not any(catalog.picture_references):
        raise ConfigError(
            f'vision.encoder "{config.encoder}": no item has a picture; leave it empty for this data'
        )
    source = EncoderSource(config.encoder, config.size, config.tokens)
    return (
        trainable(catalog, config, source, show)
        if config.trainable
        else frozen(catalog, config, source, show)
    )


def frozen(catalog: Catalog, config: VisionConfig, source: EncoderSource, show: bool) -> PretrainedPictures:
    features = picture_features(catalog, source, show=show)
    present = np.array([reference is not None for reference in catalog.picture_references])
    sight = PretrainedVision(
        source, fit_reduction(features[sample_rows(present, features.shape[1])], config.token_width)
    )
    visual = torch.from_numpy(features)
    if sight.reduction is not None:
        visual = reduced(visual, torch.from_numpy(present), sight.reduction)
    tokens, width = visual.shape[1:]
    return PretrainedPictures(sight, torch.from_numpy(present), visual, None, width, tokens)


def trainable(
    catalog: Catalog, config: VisionConfig, source: EncoderSource, show: bool
) -> PretrainedPictures:
    size = source.encoder.size
    pixels = load_pixels(catalog, size, size, show_progress=show)
    assert pixels is not None
    rows = np.flatnonzero(pixels.present)[:TRAINED_SAMPLE]
    with torch.no_grad():
        seen_PVE = source.read(source.encoder, pixels_from_bytes(torch.from_numpy(pixels.values[rows])))
    sight = PretrainedVision(source, fit_reduction(seen_PVE.numpy(), config.token_width))
    tokens, width = seen_PVE.shape[1], config.token_width or seen_PVE.shape[2]
    present, values = torch.from_numpy(pixels.present), torch.from_numpy(pixels.values)
    return PretrainedPictures(sight, present, None, values, width, tokens)


def picture_features(catalog: Catalog, source: EncoderSource, *, show: bool) -> HalfArray:
    """[I, V, E] fp16, zeros without a picture; only pictures that no run has seen are decoded and encoded."""
    pictures, references = catalog.pictures, catalog.picture_references
    assert pictures is not None
    keys = dict.fromkeys(reference for reference in references if reference is not None)
    read = {reference: content_key(reading_mark(data) + data) for reference, data in pictures.read(keys)}
    store = FeatureStore.of(f"{source.weights.identity}-{source.size or 'own'}-{source.tokens or 'all'}")
    with progress_bar("encoding pictures", len(read), show=show) as bar:

        def make(rows: list[int]) -> HalfArray:
            parts = []
            for start in range(0, len(rows), BATCH):
                named = [references[row] or "" for row in rows[start : start + BATCH]]
                parts.append(encode(source, decoded(catalog, named, source.encoder.size)))
                tokens, width = parts[-1].shape[1:]
                bar.advance(
                    len(named),
                    note=f"{tokens} visual tokens of {width}, {2 * tokens * width:,} bytes an item",
                )
            return np.concatenate(parts)

        return store.get_or_make([read[name] if name is not None else None for name in references], make)


def decoded(catalog: Catalog, references: list[str], size: int) -> PixelArray:
    """[P, size, size, 3]; DataError names a broken picture."""
    assert catalog.pictures is not None
    return np.stack(
        [
            fit_pixels(open_picture(data, f"{catalog.pictures.path}:{reference}"), size, size)
            for reference, data in catalog.pictures.read(references)
        ]
    )


@torch.inference_mode()
def encode(source: EncoderSource, pixels_PYX3: PixelArray) -> HalfArray:
    """[P, V, E] fp16, on the accelerator when there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pixels = torch.from_numpy(pixels_PYX3).to(device)
    visual = source.read(source.encoder.to(device), pixels_from_bytes(pixels))
    half: HalfArray = visual.to(torch.float16).cpu().numpy()
    return half


def sample_rows(present: np.ndarray, tokens: int) -> np.ndarray:
    """Rows with a picture, evenly spread, so that their tokens are at most `SAMPLE`."""
    rows = np.flatnonzero(present)
    return rows[:: max(1, -(-len(rows) * tokens // SAMPLE))]


def fit_reduction(features_PVE: np.ndarray, width: int) -> Reduction | None:
    """None when nothing is to be reduced."""
    wide = features_PVE.shape[2]
    if width > wide:
        raise ConfigError(
            f"vision.token_width {width}: the encoder's tokens are {wide} wide; at most that, or 0"
        )
    if not width:
        return None
    return Reduction.fit(torch.from_numpy(features_PVE.reshape(-1, wide).astype(np.float32)), width)


@torch.no_grad()
def pooled(visual_IVE: Tensor, batch: int = 1024) -> Tensor:
    """[I, 2E] mean and maximum of every picture's visual tokens, read once."""
    return torch.cat([pool_tokens(visual) for visual in visual_IVE.split(batch)])


@torch.no_grad()
def reduced(visual_IVE: Tensor, present_I: Tensor, reduction: Reduction, batch: int = 1024) -> Tensor:
    """[I, V, F] fp16, zeros without a picture."""
    parts = [
        (reduction(visual.float()) * present[:, None, None]).to(torch.float16)
        for visual, present in zip(visual_IVE.split(batch), present_I.split(batch), strict=True)
    ]
    return torch.cat(parts)
