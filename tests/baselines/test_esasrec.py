import pytest
import torch

from unimp.baselines.esasrec import ESASRec, ESASRecConfig, GatedBlock
from unimp.testing.rankers import RankerContract


class TestESASRec(RankerContract):
    method = "esasrec"
    settings = {  # noqa: RUF012
        "width": 16,
        "layers": 1,
        "negatives": 16,
        "epochs": 40,
        "patience": 40,
        "validate_every": 5,
        "dropout": 0.0,
        "lr": 0.01,
        "threads": 1,
        "max_events": 8,
    }
    floor = 0.5
    order_matters = True


def test_a_closed_gate_adds_nothing_and_an_open_one_all() -> None:
    torch.manual_seed(0)
    block, x = GatedBlock(width=4, heads=2, inner=8, dropout=0.5).eval(), torch.randn(1, 3, 4)
    for gate in (block.gate_attention, block.gate_feed_forward):
        gate.weight.data.zero_()
        gate.bias.data.fill_(-100.0)
    torch.testing.assert_close(block(x), x)
    block.gate_attention.bias.data.fill_(100.0)
    torch.testing.assert_close(block(x), x + block.attention(block.norm_attention(x)))


def test_gate_reads_the_normalised_state() -> None:
    torch.manual_seed(0)
    block, x = GatedBlock(width=4, heads=1, inner=8, dropout=0.0).eval(), torch.randn(1, 3, 4)
    normed = block.norm_attention(x)
    middle = x + torch.sigmoid(block.gate_attention(normed)) * block.attention(normed)
    normed = block.norm_feed_forward(middle)
    slope, value = block.rise(normed)[..., :8], block.rise(normed)[..., 8:]
    fallen = block.fall(slope * torch.sigmoid(slope) * value)
    torch.testing.assert_close(block(x), middle + torch.sigmoid(block.gate_feed_forward(normed)) * fallen)


@pytest.mark.parametrize("share", [1, 3])
def test_loss_by_hand_leaves_the_target_out_of_its_negatives(share: int) -> None:
    method = ESASRec(ESASRecConfig(width=4, heads=1, negatives=6, share=share))
    torch.manual_seed(0)
    method.module = method.build(num_items=5)
    items = method.module.items.weight
    items.data.normal_()
    hidden, targets = torch.randn(4, 4), torch.tensor([0, 1, 2, 3])
    torch.manual_seed(5)
    found = method.position_loss(hidden, targets)
    torch.manual_seed(5)
    drawn = torch.randint(5, (-(-4 // share), 6))
    losses = []
    for place in range(4):
        negatives = [item for item in drawn[place // share].tolist() if item != targets[place]]
        own = hidden[place] @ items[targets[place]]
        scores = torch.stack([own, *(hidden[place] @ items[item] for item in negatives)])
        losses.append(scores.logsumexp(dim=0) - own)
    assert len(set(drawn.flatten().tolist()) & set(targets.tolist())) > 0
    torch.testing.assert_close(found, torch.stack(losses).mean())
