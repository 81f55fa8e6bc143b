"""A catalogue's pictures through a frozen pretrained encoder, cached by the content of each picture."""

# I items, P pictures, V visual tokens, E width of the encoder's tokens, F width in use

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.pictures import PixelArray, fit_pixels, open_picture, reading_mark
from unimp.features.cache import FeatureStore, HalfArray, content_key
from unimp.features.reduction import Reduction
from unimp.features.vision.source import EncoderSource
from unimp.model.vision import pixels_from_bytes

SAMPLE = 200_000
"""Visual tokens that the reduction is fitted on, at most."""
BATCH = 32


def picture_features(catalog: Catalog, source: EncoderSource, *, show: bool) -> HalfArray:
    """[I, V, E] fp16, zeros without a picture; decodes and encodes only pictures that the cache lacks."""
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
def reduced(visual_IVE: Tensor, present_I: Tensor, reduction: Reduction, batch: int = 1024) -> Tensor:
    """[I, V, F] fp16, zeros without a picture."""
    parts = [
        (reduction(visual.float()) * present[:, None, None]).to(torch.float16)
        for visual, present in zip(visual_IVE.split(batch), present_I.split(batch), strict=True)
    ]
    return torch.cat(parts)
