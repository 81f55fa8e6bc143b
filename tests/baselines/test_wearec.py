import numpy as np
import pytest
import torch
from tests.baselines.quick import QUICK

from unimp.baselines.wearec import OwnFilter, WEARec, WEARecBlock, WEARecConfig
from unimp.core.errors import ConfigError
from unimp.testing.rankers import RankerContract
from unimp.testing.world import toy_world


class TestWEARec(RankerContract):
    method = "wearec"
    settings = QUICK
    floor = 0.6
    order_matters = True


def test_every_prefix_is_filtered_as_the_end_of_a_padded_row() -> None:
    torch.manual_seed(0)
    own_filter = OwnFilter(WEARecConfig(width=4, heads=2, max_events=8))
    own_filter.scale.data.normal_()
    own_filter.shift.data.normal_()
    events = torch.randn(1, 5, 4)
    found = own_filter(events)[0].detach().numpy()
    for stop in range(1, 6):
        shaped = own_filter.shaping(events[0, :stop].mean(dim=0)).detach().view(2, 2, 5)
        scale = (own_filter.scale * (1 + shaped[0])).detach().numpy()
        shift = (own_filter.shift + shaped[1]).detach().numpy()
        padded = np.zeros((8, 4))
        padded[8 - stop :] = events[0, :stop].numpy()
        spectrum = np.fft.rfft(padded, axis=0, norm="ortho")
        for feature in range(4):
            head = feature // 2
            changed = spectrum[:, feature] * scale[head] + shift[head]
            expected = np.fft.irfft(changed, n=8, norm="ortho")[-1]
            assert found[stop - 1, feature] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_wavelet_is_haars_with_its_difference_scaled() -> None:
    block = WEARecBlock(WEARecConfig(width=4, heads=1, max_events=6))
    block.detail.data = torch.tensor([1.0, 0.0, -1.0, 0.5])
    last, before = np.array([3.0, 3.0, 3.0, 3.0]), np.array([1.0, 1.0, 1.0, 1.0])
    found = block.wavelet(torch.tensor(np.stack([before, last])[None], dtype=torch.float32))[0, 1]
    half_sum, half_difference = (last + before) / 2, (last - before) / 2
    expected = half_sum + block.detail.detach().numpy() * half_difference
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-6)


def test_block_mixes_filter_and_wavelet() -> None:
    torch.manual_seed(0)
    block = WEARecBlock(WEARecConfig(width=4, heads=2, max_events=6, filter_share=0.25)).eval()
    block.detail.data.normal_()
    x = torch.randn(2, 5, 4)
    expected = 0.25 * block.own_filter(x) + 0.75 * block.wavelet(x)
    torch.testing.assert_close(block.filtered(x), expected)


def test_neither_a_later_event_nor_padding_moves_a_state() -> None:
    torch.manual_seed(0)
    network = WEARec(WEARecConfig(width=8, max_events=6)).build(num_items=20).eval()
    for values in network.parameters():
        values.data.normal_(std=0.5)
    before, after = network(torch.tensor([[1, 2, 3, 4, 5]])), network(torch.tensor([[1, 2, 3, 9, 0]]))
    torch.testing.assert_close(before[:, :3], after[:, :3], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="width 6 is not a multiple of heads 4"):
        WEARec(WEARecConfig(width=6)).fit(toy_world().training, seed=0)
