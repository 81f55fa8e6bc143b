"""The image tokenizer of a catalogue: codes of its pictures, how well they keep them, its file on disk."""

# P pictures, Y x X pixels, S codes per picture, I items

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from unimp.core.compute import multiplies_bfloat16
from unimp.core.errors import CheckpointError, ConfigError
from unimp.core.files import content_hash, read_tensors, write_tensors
from unimp.data.catalog import Catalog
from unimp.features.cache import FeatureCache
from unimp.features.pixels import Pixels, load_pixels
from unimp.features.tokenizer_training import split_rows, train_tokenizer
from unimp.model.autoencoder import Autoencoder
from unimp.model.image_tokenizer import ImageTokenizer, ImageTokenizerConfig
from unimp.model.vision import pixels_from_bytes


@dataclass(frozen=True)
class TokenizerReport:
    """How well codes keep pictures."""

    train_psnr: float
    """Mean dB over pictures that were trained on (as many as are held out)."""
    held_out_psnr: float
    """Mean dB over pictures that were not; NaN when the catalogue has too few to hold any out."""
    usage: float
    """Share of all codes that occur in the catalogue."""
    perplexity: float
    """Number of codes as if used evenly: exp of the entropy of their frequencies."""


def encode_codes(tokenizer: ImageTokenizer, pixels: Pixels, batch: int = 64) -> Tensor:
    """[I, S] int32 codes of every item's picture; -1 where it has none. An autoencoder reads in bfloat16
    where the processor multiplies it."""
    rows = torch.from_numpy(np.flatnonzero(pixels.present))
    values = torch.from_numpy(pixels.values)
    codes_IS = torch.full((len(values), math.prod(tokenizer.grid)), -1, dtype=torch.int32)
    short = tokenizer.autoencoder is not None and multiplies_bfloat16()
    for chosen in rows.split(batch):
        with torch.inference_mode():
            with torch.autocast("cpu", torch.bfloat16, enabled=short):
                maps_PNYX = tokenizer.maps_of(pixels_from_bytes(values[chosen])).float()
            codes_IS[chosen] = tokenizer.quantised(maps_PNYX)[1].to(torch.int32)
    return codes_IS


def psnr(made_P3YX: Tensor, real_P3YX: Tensor) -> Tensor:
    """[P] peak signal-to-noise ratio of each picture in dB; pixels in [0, 1]."""
    error_P = (made_P3YX - real_P3YX).square().flatten(1).mean(dim=1)
    return -10.0 * error_P.clamp_min(1e-10).log10()


def psnr_of_rows(
    tokenizer: ImageTokenizer, pixels: Pixels, rows: npt.NDArray[np.int64], batch: int = 64
) -> float:
    """Mean PSNR of the pictures at `rows`, through their codes; NaN when there are none."""
    values = torch.from_numpy(pixels.values)
    parts = [
        psnr(tokenizer.decode(tokenizer.encode(real)), real)
        for chosen in torch.from_numpy(rows).split(batch)
        if len(chosen)
        for real in [pixels_from_bytes(values[chosen])]
    ]
    return float(torch.cat(parts).mean()) if parts else math.nan


def tokenizer_report(tokenizer: ImageTokenizer, pixels: Pixels, *, seed: int) -> TokenizerReport:
    """Figures of a tokenizer that was trained on these pictures with this seed."""
    trained, held_out = split_rows(pixels, seed)
    codes = encode_codes(tokenizer, pixels)
    counts = torch.bincount(codes[codes >= 0].long(), minlength=tokenizer.num_codes)
    share = counts[counts > 0] / counts.sum()
    return TokenizerReport(
        train_psnr=psnr_of_rows(tokenizer, pixels, trained[: max(len(held_out), 16)]),
        held_out_psnr=psnr_of_rows(tokenizer, pixels, held_out),
        usage=float((counts > 0).float().mean()),
        perplexity=float((-(share * share.log()).sum()).exp()),
    )


def read_autoencoder(folder: Path) -> Autoencoder:
    """The frozen autoencoder of a folder's two files; ConfigError names what is missing or does not fit."""
    autoencoder = Autoencoder()
    for name, part in (("encoder", autoencoder.encoder), ("decoder", autoencoder.decoder)):
        path = folder / f"taef2_{name}.safetensors"
        try:
            part.load_state_dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"image_tokenizer.autoencoder: {path} cannot be read ({error}); name the folder that holds it"
            ) from None
        except RuntimeError:
            raise ConfigError(
                f"image_tokenizer.autoencoder: {path} holds weights of another shape than TAEF2's"
            ) from None
    return autoencoder


def save_tokenizer(path: Path, tokenizer: ImageTokenizer) -> None:
    """Weights and configuration in one safetensors file."""
    write_tensors(path, tokenizer.state_dict(), {"config": tokenizer.config.model_dump(mode="json")})


def load_tokenizer(path: Path) -> ImageTokenizer:
    """As saved; CheckpointError when the file is missing or damaged."""
    tensors, facts = read_tensors(path)
    tokenizer = ImageTokenizer(ImageTokenizerConfig.parse(facts["config"], str(path)))
    tokenizer.load_state_dict(tensors)
    return tokenizer.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def tokenizer_for(
    catalog: Catalog, pixels: Pixels | None, config: ImageTokenizerConfig, *, seed: int, show: bool
) -> ImageTokenizer:
    """A trained tokenizer, from the cache when the same pictures were learnt before.

    `pixels` at the configuration's size; None loads them. A cache that cannot be written costs the time
    again, never the run.
    """
    if pixels is None:
        pixels = load_pixels(catalog, config.height, config.image_width, show_progress=show)
    if pixels is None:
        raise ConfigError("image_tokenizer.enabled: no item has a picture; set it to false")
    weights = read_autoencoder(Path(config.autoencoder)) if config.autoencoder else None
    settings = config.model_dump_json(exclude={"enabled", "autoencoder"})
    identity = f"tokenizer-{settings}-{seed}\n{pixels.digest}"
    if weights is not None:
        identity += content_hash(weights.state_dict())
    key = hashlib.sha256(identity.encode()).hexdigest()[:24]
    path = FeatureCache.at_default_place().folder / f"{key}.safetensors"
    try:
        return load_tokenizer(path)
    except (CheckpointError, RuntimeError):
        tokenizer = train_tokenizer(pixels, config, seed=seed, show=show, autoencoder=weights)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tokenizer(path, tokenizer)
    except (CheckpointError, OSError):
        pass
    return tokenizer
