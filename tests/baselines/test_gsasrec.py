import math

import pytest
import torch

from unimp.baselines.gsasrec import GSASRec, GSASRecConfig, gbce, gbce_power, prior_log_odds
from unimp.testing.rankers import RankerContract


class TestGSASRec(RankerContract):
    method = "gsasrec"
    settings = {  # noqa: RUF012
        "width": 16,
        "layers": 1,
        "negatives": 8,
        "calibration": 0.0,
        "epochs": 40,
        "patience": 40,
        "validate_every": 40,
        "dropout": 0.0,
        "lr": 0.01,
        "threads": 1,
        "max_events": 8,
        "batch_events": 256,
    }
    floor = 0.5
    order_matters = True


def test_power_by_hand() -> None:
    # 256 of 1025 − 1 = 1024 items: α = 1/4, β = 1/4 · (0.75 · (1 − 4) + 4) = 0.4375
    assert gbce_power(256, 1025, 0.75) == pytest.approx(0.4375)


@pytest.mark.parametrize(("negatives", "num_items"), [(1, 10), (256, 12_101), (9, 10)])
def test_power_at_the_ends(negatives: int, num_items: int) -> None:
    assert gbce_power(negatives, num_items, 0.0) == pytest.approx(1.0)  # plain cross-entropy
    assert gbce_power(negatives, num_items, 1.0) == pytest.approx(negatives / (num_items - 1))  # the rate


def test_more_negatives_than_items_are_no_reason_to_overweigh_the_target() -> None:
    assert gbce_power(256, 60, 0.75) == pytest.approx(1.0)


def test_loss_by_hand() -> None:
    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    positive, negative, beta = [0.5, -1.0], [[0.2, -0.3], [2.0, 0.0]], 0.4
    naive = [
        -(math.log(sigmoid(own) ** beta) + sum(math.log(1 - sigmoid(other)) for other in others)) / 3
        for own, others in zip(positive, negative, strict=True)
    ]
    found = gbce(torch.tensor(positive), torch.tensor(negative), beta)
    assert found.item() == pytest.approx(sum(naive) / 2)


@pytest.mark.parametrize("share", [1, 3, 8])
def test_neighbours_share_a_drawing(share: int) -> None:
    method = GSASRec(GSASRecConfig(width=4, heads=1, negatives=3, share=share, calibration=0.5))
    torch.manual_seed(0)
    method.module = method.build(num_items=20)
    method.module.items.weight.data.normal_()
    hidden, targets = torch.randn(7, 4), torch.tensor([1, 2, 3, 4, 5, 6, 7])
    torch.manual_seed(5)
    found = method.position_loss(hidden, targets)
    torch.manual_seed(5)
    drawn = torch.randint(20, (-(-7 // share), 3))
    items = method.module.items.weight
    own = torch.stack([hidden[n] @ items[targets[n]] for n in range(7)])
    others = torch.stack([items[drawn[n // share]] @ hidden[n] for n in range(7)])
    beta = gbce_power(3, 20, 0.5)
    shift = prior_log_odds(3, beta)
    torch.testing.assert_close(found, gbce(own + shift, others + shift, beta))


def test_prior_log_odds_is_the_best_score_for_all_alike() -> None:
    beta = 0.3
    score = torch.tensor(prior_log_odds(64, beta), requires_grad=True)
    gbce(score[None], score.expand(1, 64), beta).backward()
    assert score.grad is not None
    assert score.grad.item() == pytest.approx(0.0, abs=1e-8)
