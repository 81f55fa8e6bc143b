"""Contrastive training of a picture encoder: two views of one picture are alike, views of two are not.

SimCLR (Chen et al., ICML 2020) with a learned temperature; colours hardly change between views, because in
shops they count.
"""

# P pictures of a batch, Y x X pixels, E width of a descriptor

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.core.progress import progress_bar
from unimp.features.pixels import Pixels
from unimp.model.vision import DescribingEncoder, pixels_from_bytes, texture_steps

BATCH = 128
MOST_STEPS = 400
"""However many pictures there are: about two minutes of one core."""
FITTED = 2048
"""Pictures that the textures' means and deviations are fitted on, at most."""
LR = 3e-3
SHARPEST = 30.0
"""Largest factor of a cosine."""
SIDE, TURN, STRETCH, SHIFT = (0.4, 1.0), 0.2, 0.18, 0.8
"""A view: its side as a share of the picture's, most turn (radians), most stretch, reach of its centre."""
CONTRAST, BRIGHTNESS = 0.1, 0.03


def random_views(pixels_P3YX: Tensor) -> Tensor:
    """A random crop of each picture, perhaps mirrored, a little turned, stretched and brightened."""
    count = len(pixels_P3YX)
    side = torch.empty(count).uniform_(*SIDE)
    stretch = 1.0 + torch.empty(count).uniform_(-STRETCH, STRETCH)
    turn = torch.empty(count).uniform_(-TURN, TURN)
    mirrored = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    places = torch.zeros(count, 2, 3)
    places[:, 0, 0] = side * mirrored * stretch * turn.cos()
    places[:, 0, 1] = -side * turn.sin()
    places[:, 1, 0] = side * turn.sin()
    places[:, 1, 1] = side / stretch * turn.cos()
    places[:, :, 2] = torch.empty(count, 2).uniform_(-1.0, 1.0) * (1.0 - side)[:, None] * SHIFT
    grid = F.affine_grid(places, list(pixels_P3YX.shape), align_corners=False)
    views = F.grid_sample(pixels_P3YX, grid, align_corners=False, padding_mode="border")
    contrast = 1.0 + torch.empty(count, 1, 1, 1).uniform_(-CONTRAST, CONTRAST)
    brightness = torch.empty(count, 1, 1, 1).uniform_(-BRIGHTNESS, BRIGHTNESS)
    return (views * contrast + brightness).clamp(0.0, 1.0)


def contrast_loss(first_PE: Tensor, second_PE: Tensor, factor: Tensor) -> Tensor:
    """Mean −log of the softmax share of each view's partner among all other views. Rows of unit length."""
    both = torch.cat((first_PE, second_PE))
    count = len(first_PE)
    logits = both @ both.T * factor
    logits = logits.masked_fill(torch.eye(2 * count, dtype=torch.bool), -torch.inf)
    partners = torch.cat((torch.arange(count) + count, torch.arange(count)))
    return F.cross_entropy(logits, partners)


def train_on_views(pixels: Pixels, width: int, epochs: int, *, seed: int, show: bool) -> DescribingEncoder:
    """Train an encoder on the pictures alone, on the CPU; deterministic by seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = DescribingEncoder(width)
        log_factor = nn.Parameter(torch.tensor(math.log(10.0)))
        rows = torch.from_numpy(np.flatnonzero(pixels.present))
        values = torch.from_numpy(pixels.values)
        sample = rows[torch.randperm(len(rows))[:FITTED]]
        encoder.fit_texture(texture_steps(pixels_from_bytes(values[sample])))
        if len(rows) < 2:
            return encoder.eval()
        parameters = [*encoder.parameters(), log_factor]
        optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=1e-3, fused=True)
        per_epoch = max(1, len(rows) // BATCH)
        steps = min(epochs * per_epoch, MOST_STEPS)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, LR, total_steps=max(steps, 2), pct_start=0.1
        )
        order = torch.cat([torch.randperm(len(rows)) for _ in range(-(-steps // per_epoch) + 1)])
        with progress_bar("training the picture encoder", steps, show=show) as bar:
            for chosen in order.split(min(BATCH, len(rows)))[:steps]:
                shown = pixels_from_bytes(values[rows[chosen]])
                first, second = (described(encoder, random_views(shown)) for _ in range(2))
                loss = contrast_loss(first, second, log_factor.exp().clamp(max=SHARPEST))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.advance(note=f"loss {loss.item():.3f}")
    return encoder.eval()


def described(encoder: DescribingEncoder, pixels_P3YX: Tensor) -> Tensor:
    """[P, E] descriptors alone."""
    return encoder.descriptor(pixels_P3YX, encoder.grid(pixels_P3YX))
