"""Learning codes of pictures: better than the mean picture, the same each time, paid for once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unimp.core.errors import CheckpointError, ConfigError
from unimp.data.dataset import Dataset
from unimp.features import image_tokenizer
from unimp.features.image_tokenizer import (
    encode_codes,
    load_tokenizer,
    psnr,
    save_tokenizer,
    tokenizer_for,
    tokenizer_report,
)
from unimp.features.pixels import Pixels, load_pixels
from unimp.features.tokenizer_training import reconstruction_loss, split_rows, train_tokenizer
from unimp.model.image_tokenizer import ImageTokenizer, ImageTokenizerConfig
from unimp.model.vision import pixels_from_bytes

TINY = ImageTokenizerConfig(
    height=16, image_width=16, reduction=8, levels=(4, 4, 4), channels=16, blocks=1, epochs=1, lr=5e-3
)


def drawn_pixels(count: int = 48) -> Pixels:
    """Bright rectangles of several colours and places on white; the first item has no picture."""
    rng = np.random.default_rng(0)
    values = np.full((count, 16, 16, 3), 255, dtype=np.uint8)
    colours = np.array([(200, 30, 30), (30, 30, 200), (30, 160, 30)], dtype=np.uint8)
    for row in range(count):
        top, left = rng.integers(0, 3, size=2) * 4
        values[row, top : top + 8, left : left + 8] = colours[row % 3]
    present = np.arange(count) > 0
    values[0] = 0
    return Pixels(values, present, "drawn")


def same_weights(one: ImageTokenizer, other: ImageTokenizer) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_learns_more_than_the_mean_picture() -> None:
    pixels = drawn_pixels()
    config = TINY.model_copy(update={"epochs": 60, "batch_pictures": 16})
    tokenizer = train_tokenizer(pixels, config, seed=0, show=False)
    real = pixels_from_bytes(torch.from_numpy(pixels.values[pixels.present]))
    mean = psnr(real.mean(dim=0, keepdim=True).expand_as(real), real).mean()
    assert psnr(tokenizer.decode(tokenizer.encode(real)), real).mean() > mean + 3.0
    report = tokenizer_report(tokenizer, pixels, seed=0)
    assert report.train_psnr > mean + 3.0
    assert report.held_out_psnr > mean
    assert 1 < report.perplexity <= report.usage * tokenizer.num_codes + 1e-3


def test_same_seed_same_tokenizer() -> None:
    pixels = drawn_pixels()
    first = train_tokenizer(pixels, TINY, seed=3, show=False)
    torch.rand(5)  # the caller's random state has no say
    assert same_weights(first, train_tokenizer(pixels, TINY, seed=3, show=False))
    assert not same_weights(first, train_tokenizer(pixels, TINY, seed=4, show=False))


def test_items_without_picture_have_no_codes() -> None:
    torch.manual_seed(0)
    tokenizer, pixels = ImageTokenizer(TINY).eval(), drawn_pixels(10)
    codes = encode_codes(tokenizer, pixels, batch=4)
    assert codes.shape == (10, 4)
    assert codes.dtype == torch.int32
    assert codes[0].tolist() == [-1] * 4
    assert codes[1:].min() >= 0
    wanted = tokenizer.encode(pixels_from_bytes(torch.from_numpy(pixels.values[1:])))
    assert torch.equal(codes[1:].long(), wanted)


def test_held_out_pictures_are_not_trained_on() -> None:
    pixels = drawn_pixels(101)
    trained, held_out = split_rows(pixels, seed=0)
    assert len(held_out) == 5
    assert sorted([*trained, *held_out]) == list(range(1, 101))
    before = train_tokenizer(pixels, TINY, seed=0, show=False)
    pixels.values[held_out] = 7
    assert same_weights(before, train_tokenizer(pixels, TINY, seed=0, show=False))


def test_psnr_by_hand() -> None:
    real = torch.zeros(2, 3, 4, 4)
    made = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), 0.01)])
    assert psnr(made, real).tolist() == pytest.approx([20.0, 40.0], abs=1e-3)


def test_loss_by_hand() -> None:
    config = TINY.model_copy(update={"edges": 2.0, "colour": 4.0})
    real = torch.zeros(1, 3, 16, 16)
    grey = torch.full((1, 3, 16, 16), 0.1)
    assert float(reconstruction_loss(real, real, config)) == 0.0
    assert float(reconstruction_loss(grey, real, config)) == pytest.approx(3 * 0.1)  # three scales, no colour
    red = grey * torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    colour = 4.0 * (0.05 + 0.025) / 2
    assert float(reconstruction_loss(red, real, config)) == pytest.approx(0.1 + colour)
    half = grey * (torch.arange(16) < 8)  # one edge in a row of 15, 7 and 3 neighbours
    edges = 2.0 * (0.1 / 15 + 0.1 / 7 + 0.1 / 3)
    assert float(reconstruction_loss(half, real, config)) == pytest.approx(3 * 0.05 + edges)


def test_too_few_pictures_to_hold_any_out() -> None:
    pixels = drawn_pixels(5)
    report = tokenizer_report(train_tokenizer(pixels, TINY, seed=0, show=False), pixels, seed=0)
    assert math.isnan(report.held_out_psnr)
    assert math.isfinite(report.train_psnr)


def test_no_picture_at_all_is_told() -> None:
    pixels = Pixels(np.zeros((3, 16, 16, 3), dtype=np.uint8), np.zeros(3, dtype=np.bool_), "none")
    with pytest.raises(ConfigError, match="no item has a picture; set it to false"):
        train_tokenizer(pixels, TINY, seed=0, show=False)


def test_save_and_load_is_exact(tmp_path: Path) -> None:
    pixels, path = drawn_pixels(10), tmp_path / "tokenizer.safetensors"
    tokenizer = train_tokenizer(pixels, TINY, seed=0, show=False)
    save_tokenizer(path, tokenizer)
    again = load_tokenizer(path)
    assert again.config == TINY
    assert same_weights(tokenizer, again)
    codes = encode_codes(tokenizer, pixels)
    assert torch.equal(codes, encode_codes(again, pixels))
    assert torch.equal(tokenizer.decode(codes[1:].long()), again.decode(codes[1:].long()))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError):
        load_tokenizer(path)


def test_trained_once_then_cached(tiny_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = load_pixels(tiny_dataset.catalog, 16, 16)
    assert pixels is not None
    first = tokenizer_for(tiny_dataset.catalog, pixels, TINY, seed=0, show=False)
    trained: list[int] = []

    def spy(pixels: Pixels, config: ImageTokenizerConfig, *, seed: int, **options: Any) -> ImageTokenizer:
        trained.append(seed)
        return train_tokenizer(pixels, config, seed=seed, **options)

    monkeypatch.setattr(image_tokenizer, "train_tokenizer", spy)
    again = tokenizer_for(tiny_dataset.catalog, None, TINY, seed=0, show=False)
    assert trained == []
    assert same_weights(first, again)
    tokenizer_for(tiny_dataset.catalog, pixels, TINY, seed=1, show=False)
    assert trained == [1]
    tokenizer_for(tiny_dataset.catalog, pixels, TINY.model_copy(update={"lr": 1e-3}), seed=0, show=False)
    assert trained == [1, 0]
