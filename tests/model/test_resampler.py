"""The resampler: as many tokens as asked, of each picture by itself, and read in place of the grid."""

from __future__ import annotations

import torch

from unimp.model.config import ModelConfig
from unimp.model.resampler import Resampler
from unimp.model.unimp import UnimpModel


def test_each_picture_gives_so_many_tokens_and_none_depends_on_another() -> None:
    torch.manual_seed(0)
    resampler = Resampler(12, queries=3)
    visual = torch.randn(4, 9, 12)
    told = resampler(visual)
    assert told.shape == (4, 3, 12)
    torch.testing.assert_close(resampler(visual[1:2]), told[1:2])
    assert resampler(visual[:, :5]).shape == (4, 3, 12)


def test_the_order_of_the_grid_is_not_read_but_its_content_is() -> None:
    torch.manual_seed(0)
    resampler = Resampler(8, queries=2)
    visual = torch.randn(1, 6, 8)
    torch.testing.assert_close(resampler(visual.flip(1)), resampler(visual))
    other = visual.clone()
    other[0, 2, 0] += 3
    assert (resampler(other) - resampler(visual)).abs().max() > 1e-3


def test_the_model_looks_through_it() -> None:
    config = ModelConfig(width=16, layers=2, heads=2, hidden=16)
    model = UnimpModel(config, 5, 7, {}, 8, resampler=3)
    looked = model.look(torch.randn(2, 9, 8))
    assert [tuple(one.shape) for one in looked] == [(2, 3, 2, 2, 8)] * 2
    sum(one.sum() for one in looked).backward()  # type: ignore[union-attr]
    assert model.resampler is not None
    assert model.resampler.queries_RE.grad is not None
    blind = config.changed(cross_attention=False)
    assert UnimpModel(blind, 5, 7, {}, 8, resampler=3).resampler is None
