"""The catalogue's own picture encoder: what it learns on, its descriptor, its cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train.conftest import tiny_dataset  # noqa: F401 - a fixture
from unimp.data.dataset import Dataset
from unimp.features.vision import catalogue
from unimp.features.vision.catalogue import CatalogueVision
from unimp.features.vision.config import VisionConfig
from unimp.features.vision.contrastive import contrast_loss, random_views
from unimp.model.vision import DescribingEncoder, colour_shares, texture_steps

CONFIG = VisionConfig(kind="catalogue", height=16, image_width=16, token_width=8, pretrain_epochs=2)


def test_the_loss_is_the_mean_over_both_views_of_each_picture() -> None:
    """Against a double loop."""
    torch.manual_seed(0)
    first, second = (torch.nn.functional.normalize(torch.randn(3, 4), dim=1) for _ in range(2))
    views = [*first, *second]
    total = 0.0
    for i, view in enumerate(views):
        others = [j for j in range(6) if j != i]
        logits = torch.stack([5.0 * view @ views[j] for j in others])
        total -= float(torch.log_softmax(logits, dim=0)[others.index((i + 3) % 6)])
    found = contrast_loss(first, second, torch.tensor(5.0))
    assert float(found) == pytest.approx(total / 6, rel=1e-5)


def test_views_show_parts_of_the_same_picture() -> None:
    torch.manual_seed(0)
    plain = torch.full((4, 3, 16, 16), 0.5)
    views = random_views(plain)
    assert views.shape == plain.shape
    assert float((views - 0.5).abs().max()) < 0.11  # nothing but brightness and contrast can change
    left_red = torch.zeros(64, 3, 16, 16)
    left_red[:, 0, :, :8] = 1.0
    assert not torch.allclose(random_views(left_red), random_views(left_red), atol=0.1)


def test_colours_and_textures_of_pictures_worked_by_hand() -> None:
    pixels = torch.ones(2, 3, 16, 16)  # white: background
    pixels[0, :, :4] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]  # a quarter red, the rest background
    pixels[1, :, ::2] = 0.0  # black and white lines
    shares = colour_shares(pixels)
    assert shares[0, (4 * 5 + 0) * 5 + 0] == 1.0
    assert shares[0].sum() == 1.0
    steps = texture_steps(pixels)
    assert steps[1].max() == pytest.approx(1.0)
    assert steps[1].min() == pytest.approx(0.0)
    assert torch.isfinite(texture_steps(torch.ones(1, 3, 16, 16))).all()


def test_the_first_token_is_a_unit_descriptor() -> None:
    torch.manual_seed(0)
    encoder = DescribingEncoder(8)
    pixels = torch.rand(3, 3, 24, 16)
    tokens = encoder(pixels)
    assert tokens.shape == (3, 1 + 3 * 2, 8)
    torch.testing.assert_close(tokens[:, 0].norm(dim=1), torch.ones(3))
    torch.testing.assert_close(tokens[:1], encoder(pixels[:1]))  # whatever stands beside it


def test_pictures_that_were_learned_on_are_read_from_the_cache(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*args: object, **kwargs: object) -> DescribingEncoder:
        raise AssertionError("trained again")

    def prepared(seed: int) -> torch.Tensor:
        found = CatalogueVision.prepare(tiny_dataset.catalog, CONFIG, seed=seed, show=False)
        assert found is not None
        assert found.visual_IVE is not None
        return found.visual_IVE.clone()

    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "one"))
    first, other = prepared(0), prepared(1)
    assert not torch.equal(first, other)
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "two"))
    torch.manual_seed(99)
    assert torch.equal(prepared(0), first)  # by its own seed, whatever torch's generator is at
    monkeypatch.setattr(catalogue, "train_on_views", never)
    assert torch.equal(prepared(0), first)


def test_equal_pictures_are_learned_without_harm(tiny_dataset: Dataset) -> None:  # noqa: F811
    """Nothing sets them apart: finite descriptors, all the same."""
    from unimp.features.pixels import load_pixels
    from unimp.features.vision.contrastive import train_on_views
    from unimp.model.vision import pixels_from_bytes

    pixels = load_pixels(tiny_dataset.catalog, 16, 16)
    assert pixels is not None
    pixels.values[:] = 128
    encoder = train_on_views(pixels, 8, 1, seed=0, show=False)
    with torch.inference_mode():
        found = encoder(pixels_from_bytes(torch.from_numpy(pixels.values)))[:, 0]
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, found[:1].expand_as(found))
