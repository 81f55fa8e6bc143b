import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from unimp.baselines.unisrec import Adaptor, UniSRec, UniSRecConfig, contrast, drop_events
from unimp.core.errors import DataError
from unimp.data.histories import FloatArray, Histories
from unimp.testing.rankers import RankerContract, fit_once
from unimp.testing.world import ToyFeatures, toy_world

SMALL = {
    "width": 16,
    "layers": 1,
    "experts": 2,
    "epochs": 15,
    "patience": 15,
    "validate_every": 5,
    "pretrain_epochs": 3,
    "dropout": 0.1,
    "lr": 0.01,
    "threads": 1,
    "max_events": 8,
}


class TestUniSRec(RankerContract):
    method = "unisrec"
    settings = SMALL
    floor = 0.6
    order_matters = True


class TestUniSRecInductive(RankerContract):
    method = "unisrec"
    settings = {**SMALL, "setting": "inductive"}  # noqa: RUF012
    floor = 0.6
    order_matters = True


def test_adaptor_is_a_gated_sum_of_whitenings() -> None:
    torch.manual_seed(0)
    adaptor = Adaptor(UniSRecConfig(experts=3, width=4), num_features=5).eval()
    for values in adaptor.parameters():
        values.data.normal_()
    texts = torch.randn(2, 5)
    for row, text in enumerate(texts):
        gates = [math.exp(float(text @ adaptor.gate_FE[:, k].detach())) for k in range(3)]
        expected = sum(
            gates[k] / sum(gates) * ((text - adaptor.offsets_EF[k]) @ adaptor.whiten_EFD[k]) for k in range(3)
        )
        torch.testing.assert_close(adaptor(texts)[row], expected)


def test_gates_are_noisy_in_training_only() -> None:
    torch.manual_seed(0)
    adaptor = Adaptor(UniSRecConfig(experts=3, width=4, text_dropout=0.0), num_features=5)
    adaptor.whiten_EFD.data.normal_()
    texts = torch.randn(2, 5)
    assert not torch.allclose(adaptor.train()(texts), adaptor(texts))
    torch.testing.assert_close(adaptor.eval()(texts), adaptor(texts), rtol=0, atol=0)


def test_contrast_against_a_loop() -> None:
    torch.manual_seed(0)
    queries, keys, names = torch.randn(3, 4), torch.randn(3, 4), torch.tensor([5, 6, 5])
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], keys[None], dim=2) / 0.1
    naive = []
    for row in range(3):
        others = [col for col in range(3) if col == row or names[col] != names[row]]
        mass = sum(math.exp(float(cosines[row, col])) for col in others)
        naive.append(-math.log(math.exp(float(cosines[row, row])) / mass))
    assert contrast(queries, keys, 0.1, names).item() == pytest.approx(sum(naive) / 3, rel=1e-4)


def test_dropped_events_leave_the_others_in_order() -> None:
    torch.manual_seed(0)
    rows = torch.arange(1, 11).repeat(300, 1)
    lengths = torch.tensor([10, 3, 1]).repeat(100)
    kept, sizes = drop_events(rows, lengths, 0.3)
    assert (sizes >= 1).all()
    assert (sizes[lengths == 1] == 1).all()
    assert 6 < sizes[lengths == 10].float().mean() < 8
    for row, size, length in zip(kept, sizes, lengths, strict=True):
        events = row[:size].tolist()
        assert events == sorted(set(events))
        assert max(events) <= length


@pytest.fixture
def method() -> UniSRec:
    method = UniSRec(UniSRecConfig(width=8, experts=2, max_events=6, dropout=0.0, text_dropout=0.0))
    torch.manual_seed(1)
    method.content = torch.randn(12, 5)
    method.module = method.build(num_items=12).eval()
    method.popularity = np.ones(12, dtype=np.float32)
    return method


def test_loss_is_the_softmax_of_cosines_at_every_prefix(method: UniSRec) -> None:
    rows, naive = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), []
    found = method.loss(rows, torch.tensor([3, 1]))
    table = method.module.table(with_ids=True)
    for items in ([1, 2, 3, 4], [5, 6]):
        for stop in range(1, len(items)):
            state = method.module.encode(torch.tensor([items[:stop]]), table)[0, -1]
            cosines = torch.nn.functional.cosine_similarity(state[None], table) / 0.07
            naive.append(-cosines.log_softmax(0)[items[stop]])
    torch.testing.assert_close(found, torch.stack(naive).mean())


def test_a_later_event_never_moves_an_earlier_state(method: UniSRec) -> None:
    before, after = (method.module(torch.tensor([rows])) for rows in ([1, 2, 3, 4], [1, 2, 8, 4]))
    torch.testing.assert_close(before[:, :2], after[:, :2], rtol=0, atol=0)


def test_pretraining_reads_no_ids(method: UniSRec) -> None:
    rows, lengths = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([3, 1])
    method.contrasts(rows, lengths).backward()
    assert method.module.items.weight.grad is None
    assert method.module.adaptor.whiten_EFD.grad is not None


def test_a_fixed_encoder_stays_as_pretraining_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    method, kept = UniSRec(UniSRecConfig(**{**SMALL, "epochs": 2}, fix_encoder=True)), []
    pretrain = method.pretrain
    monkeypatch.setattr(method, "pretrain", lambda *a: (pretrain(*a), kept.append(method.copy_state())))
    method.fit(toy_world().training, seed=0)
    after = method.copy_state()
    for name, values in kept[0].items():
        fixed = name.startswith(("blocks", "positions", "norm", "features"))
        assert torch.equal(values, after[name]) == fixed, name


class NoText(ToyFeatures):
    def text(self) -> FloatArray | None:  # type: ignore[override]
        return None


def test_without_text_it_says_what_is_missing() -> None:
    data = replace(toy_world().training, features=NoText())
    with pytest.raises(DataError, match=r"UniSRec: needs text.*without: pop"):
        UniSRec(UniSRecConfig()).fit(data, seed=0)


def test_inductive_scores_items_nobody_had_by_their_text() -> None:
    fitted = fit_once(TestUniSRecInductive)
    # The unknown item is of the first cluster, at its first place: its text is that of item 0.
    scores = fitted.score(Histories.from_lists([[8, 9]]))
    assert scores[0, 60] == pytest.approx(scores[0, 0], abs=1e-5)
