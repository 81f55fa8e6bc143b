"""The image tokenizer, learnt from the catalogue's own pictures, judged on some of them, kept on disk."""

# P pictures, Y x X pixels, S codes per picture, I items

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from unimp.core.errors import CheckpointError, ConfigError
from unimp.core.files import read_tensors, write_tensors
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.features.cache import FeatureCache
from unimp.features.pixels import Pixels, load_pixels
from unimp.model.image_tokenizer import ImageTokenizer, ImageTokenizerConfig
from unimp.model.vision import pixels_from_bytes

HELD_OUT = 0.05
"""Share of pictures that training never sees, for the figures."""
SCALES = 3
"""The loss looks at the picture at its size, at a half and a quarter of it; at an eighth for its colours."""
OPPONENT = ((0.5, -0.5, 0.0), (0.25, 0.25, -0.5))
"""Red against green, yellow against blue, from red, green, blue."""
BETAS = (0.9, 0.95)


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


def split_rows(pixels: Pixels, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows with a picture: those to train on, and those held out."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(pixels.present))
    count = int(len(rows) * HELD_OUT)
    return np.sort(rows[count:]), np.sort(rows[:count])


def reconstruction_loss(made_P3YX: Tensor, real_P3YX: Tensor, config: ImageTokenizerConfig) -> Tensor:
    """L1 on pixels and on differences of neighbours at several scales, and on colour at the coarse ones.

    All of it is linear before the absolute value, so that only the error is carried through the scales.
    """
    error_P3YX = made_P3YX - real_P3YX
    total = error_P3YX.new_zeros(())
    for _ in range(SCALES):
        total = total + error_P3YX.abs().mean()
        for axis in (2, 3):
            if config.edges and error_P3YX.shape[axis] > 1:
                total = total + config.edges * error_P3YX.diff(dim=axis).abs().mean()
        if min(error_P3YX.shape[2:]) > 1:
            error_P3YX = F.avg_pool2d(error_P3YX, 2)
    colour_PDYX = torch.einsum("dc,pcyx->pdyx", torch.tensor(OPPONENT), error_P3YX)
    return total + config.colour * colour_PDYX.abs().mean()


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; without them bfloat16 is slower than float32."""
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(known.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def train_tokenizer(pixels: Pixels, config: ImageTokenizerConfig, *, seed: int, show: bool) -> ImageTokenizer:
    """Train on all but the held-out pictures; deterministic by seed."""
    rows = torch.from_numpy(split_rows(pixels, seed)[0])
    if not len(rows):
        raise ConfigError("image_tokenizer.enabled: no item has a picture; set it to false")
    values = torch.from_numpy(pixels.values)
    short = multiplies_bfloat16()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ImageTokenizer(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        steps = config.epochs * -(-len(rows) // config.batch_pictures)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.lr, betas=BETAS, weight_decay=0.01, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=max(steps, 2))
        with progress_bar("training the image tokenizer", steps, show=show) as bar:
            for _ in range(config.epochs):
                for chosen in rows[torch.randperm(len(rows))].split(config.batch_pictures):
                    real = pixels_from_bytes(values[chosen])
                    real = torch.where(torch.rand(len(real), 1, 1, 1) < 0.5, real.flip(3), real)
                    with torch.autocast("cpu", torch.bfloat16, enabled=short):
                        made = model(real)[0].float()
                    loss = reconstruction_loss(made, real, config)
                    optimizer.zero_grad()
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    schedule.step()
                    bar.advance(note=f"loss {loss.item():.3f}")
    return model.eval()


def encode_codes(tokenizer: ImageTokenizer, pixels: Pixels, batch: int = 64) -> Tensor:
    """[I, S] int32 codes of every item's picture; -1 where it has none."""
    rows = torch.from_numpy(np.flatnonzero(pixels.present))
    values = torch.from_numpy(pixels.values)
    codes_IS = torch.full((len(values), math.prod(tokenizer.grid)), -1, dtype=torch.int32)
    for chosen in rows.split(batch):
        codes_IS[chosen] = tokenizer.encode(pixels_from_bytes(values[chosen])).to(torch.int32)
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
    identity = f"tokenizer-{config.model_dump_json(exclude={'enabled'})}-{seed}\n{pixels.digest}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:24]
    path = FeatureCache.at_default_place().folder / f"{key}.safetensors"
    try:
        return load_tokenizer(path)
    except (CheckpointError, RuntimeError):
        tokenizer = train_tokenizer(pixels, config, seed=seed, show=show)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tokenizer(path, tokenizer)
    except (CheckpointError, OSError):
        pass
    return tokenizer
