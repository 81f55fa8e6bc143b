import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unimp.baselines.baseline import TrainingData
from unimp.baselines.sasrec import SASRec, SASRecConfig, SASRecNetwork
from unimp.core.errors import CheckpointError, ConfigError
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import toy_world

SMALL = {"width": 16, "epochs": 25, "patience": 25, "dropout": 0.1, "lr": 0.01, "threads": 1, "max_events": 8}


class TestSASRec(RankerContract):
    method = "sasrec"
    settings = SMALL
    floor = 0.6
    order_matters = True


class TestSASRecPostNorm(RankerContract):
    method = "sasrec"
    settings = {**SMALL, "norm": "post"}  # noqa: RUF012
    floor = 0.6
    order_matters = True


@pytest.fixture
def network() -> SASRecNetwork:
    torch.manual_seed(3)
    network = SASRecNetwork(SASRecConfig(width=8, heads=2, max_events=6), num_items=20).eval()
    for values in network.parameters():
        values.data.normal_(std=0.5)  # far from the near-zero start, where everything looks alike
    return network


def test_a_later_event_never_moves_an_earlier_state(network: SASRecNetwork) -> None:
    rows = torch.tensor([[1, 2, 3, 4, 5]])
    changed = torch.tensor([[1, 2, 3, 9, 5]])
    before, after = network(rows), network(changed)
    torch.testing.assert_close(before[:, :3], after[:, :3], rtol=0, atol=0)
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_an_earlier_event_moves_a_later_state(network: SASRecNetwork) -> None:
    before, after = network(torch.tensor([[1, 2, 3]])), network(torch.tensor([[7, 2, 3]]))
    assert not torch.allclose(before[:, 2], after[:, 2])


def test_padding_moves_nothing(network: SASRecNetwork) -> None:
    short, padded = network(torch.tensor([[1, 2, 3]])), network(torch.tensor([[1, 2, 3, 0, 0, 0]]))
    torch.testing.assert_close(short, padded[:, :3])


def test_loss_is_the_mean_over_all_prefixes() -> None:
    method = SASRec(SASRecConfig(width=8, heads=2, max_events=6, dropout=0.0))
    torch.manual_seed(1)
    method.module = method.build(num_items=12)
    histories = [[1, 2, 3, 4], [5, 6], [7, 8, 9]]
    rows = torch.zeros(3, 4, dtype=torch.int64)
    for user, items in enumerate(histories):
        rows[user, : len(items)] = torch.tensor(items)
    loss = method.loss(rows, torch.tensor([3, 1, 2]))
    naive = []
    for items in histories:
        for stop in range(1, len(items)):
            hidden = method.module(torch.tensor([items[:stop]]))[0, -1]
            logits = hidden @ method.module.items.weight.T
            naive.append(F.cross_entropy(logits[None], torch.tensor([items[stop]])))
    torch.testing.assert_close(loss, torch.stack(naive).mean())


def test_score_is_the_last_state_against_all_items(network: SASRecNetwork) -> None:
    method = SASRec(SASRecConfig(width=8, heads=2, max_events=6))
    method.module, method.popularity = network, np.ones(20, dtype=np.float32)
    scores = method.score(Histories.from_lists([[1, 2, 3], [4], [], [9, 9, 9, 1, 2, 3, 4, 5, 6]]))
    expected = [network(torch.tensor([rows]))[0, -1] for rows in ([1, 2, 3], [4], [1, 2, 3, 4, 5, 6])]
    want = (torch.stack(expected) @ network.items.weight.T).detach().numpy()
    np.testing.assert_allclose(scores[[0, 1, 3]], want, rtol=1e-4, atol=1e-5)


def test_fit_leaves_the_global_generator_and_threads_alone() -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    method = SASRec(SASRecConfig(width=8, epochs=1, threads=1))
    method.fit(toy_world().training, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_seeds_differ() -> None:
    scores = []
    for seed in (0, 1):
        method = SASRec(SASRecConfig(width=8, epochs=1, threads=1))
        method.fit(toy_world().training, seed=seed)
        scores.append(method.score(Histories.from_lists([[1, 2]])))
    assert not np.allclose(*scores)


def test_the_best_validated_epoch_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    method = SASRec(SASRecConfig(width=8, epochs=10, patience=2, threads=1))
    quality, states = iter([0.1, 0.3, 0.2, 0.25, 0.9]), []

    def validate(data: TrainingData) -> float:
        states.append(method.copy_state())
        return next(quality)

    monkeypatch.setattr(method, "validate", validate)
    method.fit(toy_world().training, seed=0)
    assert len(states) == 4  # two validations without a better one
    for name, values in method.module.state_dict().items():
        assert torch.equal(values, states[1][name])


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="width 10 is not a multiple of heads 4"):
        SASRec(SASRecConfig(width=10, heads=4)).fit(toy_world().training, seed=0)


def test_loading_what_is_not_there(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="not a saved SASRec"):
        SASRec.load(tmp_path)


class TestSASRecWithProductsInBfloat16(RankerContract):
    method = "sasrec"
    settings = {**SMALL, "softmax_products": "bfloat16"}  # noqa: RUF012
    floor = 0.6
    order_matters = True


def test_precision_is_recorded_where_it_is_not_the_usual_one() -> None:
    assert "softmax_products" not in SASRecConfig().model_dump(mode="json")
    lower = SASRecConfig(softmax_products="bfloat16")
    assert lower.model_dump(mode="json")["softmax_products"] == "bfloat16"
    assert SASRecConfig.model_validate_json(lower.model_dump_json()) == lower
    assert SASRecConfig.model_validate_json(SASRecConfig().model_dump_json()) == SASRecConfig()
