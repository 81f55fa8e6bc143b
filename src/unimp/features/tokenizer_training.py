"""How the image tokenizer learns the catalogue's own pictures."""

# P pictures, Y x X pixels, I items, N x H x C maps of what is coded

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from unimp.core.compute import multiplies_bfloat16
from unimp.core.errors import ConfigError
from unimp.core.progress import progress_bar
from unimp.features.pixels import Pixels
from unimp.model.autoencoder import Autoencoder
from unimp.model.image_tokenizer import ImageTokenizer, ImageTokenizerConfig
from unimp.model.vision import pixels_from_bytes

HELD_OUT = 0.05
"""Share of pictures that training never sees, for the figures."""
SCALES = 3
"""The loss looks at the picture at its size, at a half and a quarter of it; at an eighth for its colours."""
OPPONENT = ((0.5, -0.5, 0.0), (0.25, 0.25, -0.5))
"""Red against green, yellow against blue, from red, green, blue."""
BETAS = (0.9, 0.95)
KEPT_BYTES = 2**30
"""Latents of all pictures are computed once where they take no more memory, else step by step."""
ENCODED = 32
"""Pictures that the autoencoder reads at once."""


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


class TrainingPictures:
    """The pictures that a tokenizer learns, as what is coded of them (`ImageTokenizer.maps_of`).

    Half of a batch, by chance, are mirror images. An autoencoder's latents are kept in float16.
    """

    def __init__(self, model: ImageTokenizer, pixels: Pixels, rows: Tensor, *, show: bool) -> None:
        self.model, self.values = model, torch.from_numpy(pixels.values)
        self.latents: Tensor | None = None
        if model.autoencoder is None:
            return
        sample = torch.cat(
            [self.encoded(self.pictures(chosen)) for chosen in rows[:: -(-len(rows) // 512)].split(ENCODED)]
        )
        model.latent_mean_N11.copy_(sample.mean(dim=(0, 2, 3)).view(-1, 1, 1))
        model.latent_deviation_N11.copy_(sample.std(dim=(0, 2, 3)).clamp_min(1e-3).view(-1, 1, 1))
        if 4 * len(self.values) * sample[0].numel() > KEPT_BYTES:
            return
        self.latents = torch.zeros(2, len(self.values), *sample.shape[1:], dtype=torch.float16)
        with progress_bar("encoding pictures", 2 * len(rows), show=show) as bar:
            for chosen in rows.split(ENCODED):
                shown = self.pictures(chosen)
                for place, pictures in enumerate((shown, shown.flip(3))):
                    self.latents[place, chosen] = self.encoded(pictures).half()
                    bar.advance(len(chosen))

    def pictures(self, rows: Tensor) -> Tensor:
        """[P, 3, Y, X] in [0, 1]."""
        return pixels_from_bytes(self.values[rows])

    @torch.no_grad()
    def encoded(self, pictures_P3YX: Tensor) -> Tensor:
        """[P, N, H, C] in float32, standardised as far as the tokenizer's mean and deviation are known."""
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()):
            return self.model.maps_of(pictures_P3YX).float()

    def batch(self, rows: Tensor) -> Tensor:
        """[P, 3, Y, X] pictures, or [P, N, H, C] latents."""
        mirrored = torch.rand(len(rows), 1, 1, 1) < 0.5
        if self.latents is not None:
            return self.latents[mirrored.flatten().long(), rows].float()
        pictures = self.pictures(rows)
        pictures = torch.where(mirrored, pictures.flip(3), pictures)
        return pictures if self.model.autoencoder is None else self.encoded(pictures)

    def loss(self, batch: Tensor, config: ImageTokenizerConfig) -> Tensor:
        """What codes lose of a batch: `reconstruction_loss` of pictures, mean absolute error of latents."""
        latent = self.model.autoencoder is not None
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()):
            made = (self.model.recode if latent else self.model)(batch)[0].float()
        return F.l1_loss(made, batch) if latent else reconstruction_loss(made, batch, config)


def train_tokenizer(
    pixels: Pixels,
    config: ImageTokenizerConfig,
    *,
    seed: int,
    show: bool,
    autoencoder: Autoencoder | None = None,
) -> ImageTokenizer:
    """Train on all but the held-out pictures; deterministic by seed.

    autoencoder: the weights that `config.autoencoder` names; they stay as they are.
    """
    rows = torch.from_numpy(split_rows(pixels, seed)[0])
    if not len(rows):
        raise ConfigError("image_tokenizer.enabled: no item has a picture; set it to false")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ImageTokenizer(config)
        if autoencoder is not None and model.autoencoder is not None:
            model.autoencoder.load_state_dict(autoencoder.state_dict())
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pictures = TrainingPictures(model, pixels, rows, show=show)
        learning = [weights for weights in model.parameters() if weights.requires_grad]
        steps = config.epochs * -(-len(rows) // config.batch_pictures)
        optimizer = torch.optim.AdamW(learning, lr=config.lr, betas=BETAS, weight_decay=0.01, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=max(steps, 2))
        with progress_bar("training the image tokenizer", steps, show=show) as bar:
            for _ in range(config.epochs):
                for chosen in rows[torch.randperm(len(rows))].split(config.batch_pictures):
                    loss = pictures.loss(pictures.batch(chosen), config)
                    optimizer.zero_grad()
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(learning, 1.0)
                    optimizer.step()
                    schedule.step()
                    bar.advance(note=f"loss {loss.item():.3f}")
    return model.eval()
