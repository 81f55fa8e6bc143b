import numpy as np
import pytest
import torch
from tests.baselines.quick import QUICK

from unimp.baselines.bsarec import BSARec, BSARecConfig, FrequencyFilter, low_pass_kernel
from unimp.baselines.shared.filtering import FilterNetwork
from unimp.core.errors import ConfigError
from unimp.testing.rankers import RankerContract
from unimp.testing.world import toy_world


class TestBSARec(RankerContract):
    method = "bsarec"
    settings = QUICK
    floor = 0.6
    order_matters = True


@pytest.mark.parametrize("cutoff", [1, 3, 5, 99])
@pytest.mark.parametrize("length", [7, 8])
def test_low_part_is_numpys_at_the_end_of_every_padded_prefix(cutoff: int, length: int) -> None:
    events = np.random.default_rng(0).normal(size=(5, 3))
    found = low_pass_kernel(length, cutoff)[:5, :5].double().numpy() @ events
    for stop in range(1, 6):
        padded = np.zeros((length, 3))
        padded[length - stop :] = events[:stop]
        spectrum = np.fft.fft(padded, axis=0)
        frequencies = np.abs(np.fft.fftfreq(length, 1 / length))
        spectrum[frequencies > min((cutoff - 1) // 2, (length - 1) // 2)] = 0
        np.testing.assert_allclose(
            found[stop - 1], np.fft.ifft(spectrum, axis=0)[-1].real, rtol=1e-5, atol=1e-5
        )


def test_filter_scales_the_high_part() -> None:
    torch.manual_seed(0)
    filter_ = FrequencyFilter(BSARecConfig(width=4, max_events=6, cutoff=3)).eval()
    x = torch.randn(2, 5, 4)
    low = filter_.low_part(x)
    expected = filter_.norm(x + low + filter_.high_scale**2 * (x - low))
    torch.testing.assert_close(filter_(x), expected)


@pytest.fixture
def network() -> FilterNetwork:
    torch.manual_seed(3)
    network = BSARec(BSARecConfig(width=8, max_events=6)).build(num_items=20).eval()
    for values in network.parameters():
        values.data.normal_(std=0.5)
    return network


def test_a_later_event_never_moves_an_earlier_state(network: FilterNetwork) -> None:
    before, after = network(torch.tensor([[1, 2, 3, 4, 5]])), network(torch.tensor([[1, 2, 3, 9, 5]]))
    torch.testing.assert_close(before[:, :3], after[:, :3], rtol=0, atol=0)
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_padding_moves_nothing(network: FilterNetwork) -> None:
    short, padded = network(torch.tensor([[1, 2, 3]])), network(torch.tensor([[1, 2, 3, 0, 0, 0]]))
    torch.testing.assert_close(short, padded[:, :3])


def test_block_mixes_filter_and_attention(network: FilterNetwork) -> None:
    block, x = network.blocks[0], torch.randn(1, 4, 8)
    attended = block.norm_attention(x + block.attention(x))
    mixed = 0.7 * block.filter(x) + 0.3 * attended
    torch.testing.assert_close(block(x), block.norm_feed_forward(mixed + block.feed_forward(mixed)))


def test_an_even_cutoff_is_refused() -> None:
    with pytest.raises(ConfigError, match="cutoff 4 is even"):
        BSARec(BSARecConfig(cutoff=4)).fit(toy_world().training, seed=0)
