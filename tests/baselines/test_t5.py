import pytest
import torch

from unimp.baselines.shared.t5 import T5, Adapter, RelativeBias, distance_class


def test_near_distances_are_told_apart_and_far_ones_are_not() -> None:
    ahead = torch.tensor([0, -1, -15, -16, -17, -40, -127, -128, -5000, 7])
    found = distance_class(ahead, both_ways=False).tolist()
    assert found[:4] == [0, 1, 15, 16]
    assert found[4] == 16
    assert found[4] < found[5] < found[6] == found[7] == found[8] == 31
    assert found[9] == 0  # what lies ahead is hidden anyway


def test_both_ways_have_classes_of_their_own() -> None:
    found = distance_class(torch.tensor([-3, 3, 0, 5000, -5000]), both_ways=True).tolist()
    assert found == [3, 19, 0, 31, 15]


def test_one_way_hides_what_comes_later() -> None:
    bias = RelativeBias(2, both_ways=False)(4)
    assert torch.isneginf(bias).sum() == 2 * 6
    assert torch.isneginf(bias[0].triu(1)[0, 1:]).all()


@pytest.fixture
def network() -> T5:
    torch.manual_seed(0)
    network = T5(vocabulary=9, width=8, layers=2, heads=2, dropout=0.0).eval()
    for values in network.parameters():
        values.data.normal_(std=0.4)
    return network


def test_padding_changes_nothing(network: T5) -> None:
    x, real = torch.randn(1, 5, 8), torch.tensor([[True, True, True, False, False]])
    alone = network.read(x[:, :3], real[:, :3])
    padded = network.read(x, real)
    torch.testing.assert_close(padded[:, :3], alone, rtol=1e-4, atol=1e-4)
    tokens = torch.tensor([[[0, 1]]])
    torch.testing.assert_close(network.write(tokens, padded, real), network.write(tokens, alone, real[:, :3]))


def test_a_token_written_later_moves_nothing_before(network: T5) -> None:
    memory, real = network.read(torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)), torch.ones(1, 3)
    one, other = (network.write(torch.tensor([[[0, 1, last]]]), memory, real.bool()) for last in (2, 3))
    torch.testing.assert_close(one[..., :2, :], other[..., :2, :], rtol=0, atol=0)
    assert not torch.allclose(one[..., 2, :], other[..., 2, :])


def test_segments_do_not_see_each_other(network: T5) -> None:
    memory, real = network.read(torch.randn(2, 3, 8), torch.ones(2, 3).bool()), torch.ones(2, 3).bool()
    tokens = torch.tensor([[[0, 1], [0, 2]], [[0, 3], [0, 4]]])
    together = network.write(tokens, memory, real)
    for user in range(2):
        for segment in range(2):
            alone = network.write(tokens[user, segment][None, None], memory[user][None], real[user][None])
            torch.testing.assert_close(together[user, segment], alone[0, 0], rtol=1e-4, atol=1e-4)


def test_an_adapter_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    plain, adapted = (T5(9, 8, 1, 2, 0.0, adapter=inner).eval() for inner in (0, 4))
    adapted.load_state_dict(plain.state_dict(), strict=False)
    x, real = torch.randn(1, 3, 8), torch.ones(1, 3).bool()
    torch.testing.assert_close(plain.read(x, real), adapted.read(x, real))
    assert sum(isinstance(part, Adapter) for part in adapted.modules()) == 4
