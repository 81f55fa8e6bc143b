import numpy as np
import torch
from tests.baselines.quick import QUICK

from unimp.baselines.fmlprec import FMLPRec, FMLPRecBlock, FMLPRecConfig
from unimp.testing.rankers import RankerContract


class TestFMLPRec(RankerContract):
    method = "fmlprec"
    settings = QUICK
    floor = 0.6
    order_matters = True


def test_every_prefix_is_filtered_as_the_end_of_a_padded_row() -> None:
    torch.manual_seed(0)
    block = FMLPRecBlock(FMLPRecConfig(width=3, max_events=8))
    events = torch.randn(1, 5, 3)
    found = block.filtered(events)[0].detach().numpy()
    spectrum = torch.view_as_complex(block.spectrum).detach().numpy()
    for stop in range(1, 6):
        padded = np.zeros((8, 3))
        padded[8 - stop :] = events[0, :stop].numpy()
        expected = np.fft.irfft(np.fft.rfft(padded, axis=0) * spectrum, n=8, axis=0)[-1]
        np.testing.assert_allclose(found[stop - 1], expected, rtol=1e-4, atol=1e-6)


def test_block_by_its_parts() -> None:
    torch.manual_seed(0)
    block = FMLPRecBlock(FMLPRecConfig(width=4, max_events=6)).eval()
    x = torch.randn(2, 5, 4)
    mixed = block.norm_filter(x + block.filtered(x))
    torch.testing.assert_close(block(x), block.norm_feed_forward(mixed + block.feed_forward(mixed)))


def test_neither_a_later_event_nor_padding_moves_a_state() -> None:
    torch.manual_seed(0)
    network = FMLPRec(FMLPRecConfig(width=8, max_events=6)).build(num_items=20).eval()
    for values in network.parameters():
        values.data.normal_(std=0.5)
    before, after = network(torch.tensor([[1, 2, 3, 4, 5]])), network(torch.tensor([[1, 2, 3, 9, 0]]))
    torch.testing.assert_close(before[:, :3], after[:, :3], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(before[:, 3:], after[:, 3:])
