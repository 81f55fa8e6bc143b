"""Codes of an autoencoder's latents: its files, its shapes, what is trained and what stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unimp.core.errors import ConfigError
from unimp.data.dataset import Dataset
from unimp.features import tokenizer_training
from unimp.features.image_tokenizer import (
    encode_codes,
    load_tokenizer,
    psnr,
    read_autoencoder,
    save_tokenizer,
    tokenizer_for,
)
from unimp.features.pixels import Pixels
from unimp.features.tokenizer_training import train_tokenizer
from unimp.model.autoencoder import Autoencoder
from unimp.model.image_tokenizer import ImageTokenizer, ImageTokenizerConfig
from unimp.model.vision import pixels_from_bytes

CONFIG = ImageTokenizerConfig(
    height=32, image_width=16, reduction=16, levels=(4, 4), channels=16, blocks=1, epochs=2, autoencoder="any"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of random weights."""
    torch.manual_seed(0)
    write_files(Autoencoder(), tmp_path)
    return tmp_path


def write_files(autoencoder: Autoencoder, folder: Path) -> None:
    for name, part in (("encoder", autoencoder.encoder), ("decoder", autoencoder.decoder)):
        halves = {key: values.half() for key, values in part.state_dict().items()}
        save_file(halves, folder / f"taef2_{name}.safetensors")


def trained(folder: Path, pixels: Pixels) -> ImageTokenizer:
    return train_tokenizer(pixels, CONFIG, seed=0, show=False, autoencoder=read_autoencoder(folder))


def random_pixels(count: int = 12) -> Pixels:
    values = np.random.default_rng(0).integers(0, 256, size=(count, 32, 16, 3), dtype=np.uint8)
    return Pixels(values, np.arange(count) > 0, "random")


def test_latents_at_an_eighth_and_back() -> None:
    autoencoder, pixels = Autoencoder(), torch.rand(2, 3, 48, 32)
    latents = autoencoder.encode(pixels)
    assert latents.shape == (2, 32, 6, 4)
    assert autoencoder.decode(latents).shape == pixels.shape
    assert not any(weights.requires_grad for weights in autoencoder.parameters())


def test_the_decoder_bounds_latents() -> None:
    autoencoder = Autoencoder()
    wide = torch.full((1, 32, 2, 2), 60.0)
    torch.testing.assert_close(autoencoder.decode(wide), autoencoder.decode(2 * wide), atol=1e-5, rtol=1e-5)


def test_files_are_read_as_they_are(folder: Path) -> None:
    torch.manual_seed(0)
    wanted, found = Autoencoder(), read_autoencoder(folder)
    for name, values in wanted.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], values, atol=1e-3, rtol=1e-3)  # kept in float16


def test_the_autoencoder_stays_and_the_codes_learn(folder: Path) -> None:
    weights, pixels = read_autoencoder(folder), random_pixels()
    tokenizer = trained(folder, pixels)
    assert tokenizer.autoencoder is not None
    for name, values in weights.state_dict().items():
        assert torch.equal(tokenizer.autoencoder.state_dict()[name], values)
    torch.manual_seed(0)
    fresh = ImageTokenizer(CONFIG)
    moved = [
        not torch.equal(a, b)
        for a, b in zip(fresh.decoder.parameters(), tokenizer.decoder.parameters(), strict=True)
    ]
    assert all(moved)
    codes = encode_codes(tokenizer, pixels)
    assert codes.shape == (12, 2)
    assert codes[0].tolist() == [-1, -1]
    assert codes[1:].min() >= 0
    assert codes.max() < 16
    assert tokenizer.decode(codes[1:].long()).shape == (11, 3, 32, 16)


def test_latents_are_standardised_by_the_catalogue(folder: Path) -> None:
    pixels = random_pixels(40)
    tokenizer = trained(folder, pixels)
    maps = tokenizer.maps_of(pixels_from_bytes(torch.from_numpy(pixels.values[1:])))
    assert maps.mean(dim=(0, 2, 3)).abs().max() < 0.1
    assert (maps.std(dim=(0, 2, 3)) - 1).abs().max() < 0.1


def test_latents_that_are_not_kept_teach_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = trained(folder, random_pixels())
    monkeypatch.setattr(tokenizer_training, "KEPT_BYTES", 0)
    again = trained(folder, random_pixels())
    for one, other in zip(kept.decoder.parameters(), again.decoder.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0.02, rtol=0.02)  # kept ones are rounded to float16


def test_save_and_load_need_no_folder(folder: Path, tmp_path: Path) -> None:
    tokenizer = trained(folder, random_pixels())
    save_tokenizer(tmp_path / "tokenizer.safetensors", tokenizer)
    again = load_tokenizer(tmp_path / "tokenizer.safetensors")
    codes = torch.tensor([[3, 7]])
    torch.testing.assert_close(again.decode(codes), tokenizer.decode(codes), atol=1e-5, rtol=1e-5)


def test_other_weights_are_learned_from_anew(folder: Path, tiny_dataset: Dataset) -> None:
    config = CONFIG.model_copy(update={"autoencoder": str(folder), "epochs": 1})
    first = tokenizer_for(tiny_dataset.catalog, None, config, seed=0, show=False)
    torch.manual_seed(1)
    write_files(Autoencoder(), folder)
    second = tokenizer_for(tiny_dataset.catalog, None, config, seed=0, show=False)
    assert not torch.equal(first.decoder[0].weight, second.decoder[0].weight)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "taef2_decoder.safetensors cannot be read"),
        (lambda path: path.write_bytes(b"x" * 40), "taef2_decoder.safetensors cannot be read"),
        (lambda path: save_file({"0.weight": torch.zeros(3)}, path), "holds weights of another shape"),
    ],
)
def test_a_folder_without_them_is_refused_in_one_line(folder: Path, spoil: object, told: str) -> None:
    assert callable(spoil)
    spoil(folder / "taef2_decoder.safetensors")
    with pytest.raises(ConfigError) as caught:
        read_autoencoder(folder)
    assert told in str(caught.value)
    assert str(caught.value).startswith("image_tokenizer.autoencoder: ")
    assert "\n" not in str(caught.value)


def test_codes_finer_than_two_latents_are_refused() -> None:
    with pytest.raises(ConfigError, match="reduction is 8; with an autoencoder take 16 or more"):
        ImageTokenizerConfig.parse({"reduction": 8, "autoencoder": "any"}, "recipe.toml")


def test_real_weights_bring_real_pictures_back(shared_data: Path) -> None:
    from zipfile import ZipFile

    from PIL import Image

    with ZipFile(shared_data / "hm" / "images.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:4]
        pictures = [np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names]
    real = pixels_from_bytes(torch.from_numpy(np.stack(pictures)))
    autoencoder = read_autoencoder(shared_data / "taef2")
    made = autoencoder.decode(autoencoder.encode(real)).clamp(0, 1)
    assert psnr(made, real).mean() > 30.0
