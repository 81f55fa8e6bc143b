"""Codes of pictures: hand-worked quantisation, shapes, gradients, settings that cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.model.image_tokenizer import ImageTokenizer, ImageTokenizerConfig
from unimp.model.quantizer import FiniteScalarQuantizer, round_straight_through

TINY = ImageTokenizerConfig(height=24, image_width=16, reduction=8, levels=(4, 3), channels=16, blocks=1)


def random_pixels(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 24, 16, generator=torch.Generator().manual_seed(0))


def test_codes_by_hand() -> None:
    quantizer = FiniteScalarQuantizer((4, 3))
    lowest, highest = torch.full((1, 1, 2), -9.0), torch.full((1, 1, 2), 9.0)
    values, codes = quantizer(lowest)
    assert values.tolist() == [[[-1.0, -1.0]]]  # levels -2 and -1, divided by 2 and 1
    assert codes.tolist() == [[0]]
    values, codes = quantizer(highest)
    assert values.tolist() == [[[0.5, 1.0]]]
    assert codes.tolist() == [[3 + 2 * 4]]
    values, codes = quantizer(torch.tensor([[[-0.1, 0.1]]]))
    assert codes.tolist() == [[2 + 1 * 4]]  # zero is the third of four levels and the second of three


@pytest.mark.parametrize("levels", [(3,), (4, 3), (8, 5, 5), (7, 3, 4, 6)])
def test_every_code_returns_from_its_values(levels: tuple[int, ...]) -> None:
    quantizer = FiniteScalarQuantizer(levels)
    codes = torch.arange(quantizer.num_codes).unsqueeze(0)
    values = quantizer.values_of(codes)
    assert len(values[0].unique(dim=0)) == quantizer.num_codes
    places = values * (quantizer.levels_K // 2) + quantizer.offset_K
    again, found = quantizer(torch.atanh(places / quantizer.half_K) - quantizer.shift_K)
    assert torch.equal(found, codes)
    assert torch.equal(again, values)


@pytest.mark.parametrize("level", [3, 4, 5, 8])
def test_bound_holds_exactly_the_wanted_levels(level: int) -> None:
    quantizer = FiniteScalarQuantizer((level,))
    bounded = quantizer.bound(torch.linspace(-20, 20, 4001).view(1, -1, 1))
    assert bounded.diff(dim=1).min() >= 0
    assert bounded.round().unique().tolist() == [float(place - level // 2) for place in range(level)]
    assert quantizer.bound(torch.zeros(1, 1, 1)).abs().max() < 1e-6


def test_rounding_passes_the_gradient_unchanged() -> None:
    x = torch.tensor([-1.6, -0.2, 0.4, 2.7], requires_grad=True)
    rounded = round_straight_through(x)
    assert rounded.tolist() == [-2.0, 0.0, 0.0, 3.0]
    upstream = torch.tensor([1.0, -2.0, 3.0, 0.5])
    (gradient,) = torch.autograd.grad(rounded, x, upstream)
    assert torch.equal(gradient, upstream)


def test_picture_to_codes_to_picture() -> None:
    torch.manual_seed(0)
    tokenizer = ImageTokenizer(TINY)
    pixels = random_pixels()
    assert tokenizer.grid == (3, 2)
    assert tokenizer.num_codes == 12
    codes = tokenizer.encode(pixels)
    assert codes.shape == (3, 6)
    assert codes.dtype == torch.long
    assert codes.min() >= 0
    assert codes.max() < 12
    picture = tokenizer.decode(codes)
    assert picture.shape == pixels.shape
    assert picture.min() >= 0
    assert picture.max() <= 1
    reconstruction, same = tokenizer(pixels)
    assert torch.equal(same, codes)
    torch.testing.assert_close(reconstruction.clamp(0, 1), picture, atol=1e-5, rtol=1e-5)


def test_codes_are_in_raster_order() -> None:
    """A change in one corner moves the nearest picture cells most: row 0, column 1 is code 1."""
    torch.manual_seed(0)
    tokenizer = ImageTokenizer(TINY)
    codes = torch.zeros(1, 6, dtype=torch.long)
    changed = codes.clone()
    changed[0, 1] = 11
    moved = (tokenizer.decode(changed) - tokenizer.decode(codes)).abs().mean(dim=1)[0]
    cells = moved.view(3, 8, 2, 8).mean(dim=(1, 3)).flatten()
    assert int(cells.argmax()) == 1


def test_encoder_learns_through_the_codes() -> None:
    torch.manual_seed(0)
    tokenizer = ImageTokenizer(TINY)
    loss = tokenizer(random_pixels())[0].square().mean()
    gradients = torch.autograd.grad(loss, list(tokenizer.parameters()))  # every parameter has a part
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0
    first = next(tokenizer.encoder.parameters())
    assert torch.autograd.grad(tokenizer(random_pixels())[0].square().mean(), first)[0].abs().max() > 0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"height": 150, "reduction": 16}, "height is 150, not a multiple of reduction 16; take 144 or 160"),
        ({"image_width": 20, "reduction": 8}, "image_width is 20, not a multiple of reduction 8"),
        ({"reduction": 12}, "reduction is 12; take one of 4, 8, 16, 32"),
        ({"levels": (8, 2)}, "levels has 2; a channel needs 3 levels or more"),
        ({"levels": (64, 64, 64)}, "levels make 262144 codes"),
        ({"channels": 20}, "channels is 20; take a multiple of 8"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(values: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ImageTokenizerConfig.parse(values, "recipe.toml")
    assert told in str(caught.value)
    assert str(caught.value).startswith("recipe.toml: ")
    assert "\n" not in str(caught.value)


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"pictures are \(3, 16, 24\).*load them at its height"):
        ImageTokenizer(TINY).encode(torch.zeros(1, 3, 16, 24))
