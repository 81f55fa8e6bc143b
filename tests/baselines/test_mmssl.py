import numpy as np
import pytest
import torch

from unimp.baselines.mmssl import MMSSL, MMSSLConfig, unseen_similarity
from unimp.baselines.shared.critic import Critic, gradient_penalty, soften, wasserstein_step
from unimp.baselines.shared.modalities import attend, cross_modal_loss, with_contents
from unimp.baselines.shared.pairs import Pairs
from unimp.core.errors import ConfigError
from unimp.testing.rankers import RankerContract
from unimp.testing.world import toy_world

QUICK = {"width": 16, "heads": 2, "lr": 0.01, "batch_events": 512, "epochs": 15, "threads": 1}


class TestMMSSL(RankerContract):
    method = "mmssl"
    settings = QUICK
    floor = 0.5


def test_contrast_by_hand() -> None:
    views = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    fused = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    half = 0.5**0.5
    first = -np.log(np.exp(2.0) / (np.exp(2.0) + np.exp(2 * half) + 1))
    second = -np.log(np.exp(2 * half) / (1 + np.exp(2 * half) + 1))
    loss = cross_modal_loss(views, fused, temperature=0.5)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_attention_weighs_modalities_by_hand() -> None:
    x = torch.tensor([[[1.0], [2.0]]])
    one = torch.ones(1, 1)
    found = attend(x, one, one, 3.0 * one, heads=1)[0, :, 0]
    odds = np.exp([[1.0, 2.0], [2.0, 4.0]])
    expected = 3.0 * (odds / odds.sum(1, keepdims=True)) @ [1.0, 2.0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_contents_are_added_at_length_one() -> None:
    found = with_contents(torch.zeros(1, 2), [torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 9.0]])], 0.5)
    np.testing.assert_allclose(found, [[0.3, 0.9]], rtol=1e-5)


def test_own_items_are_left_out_of_the_generators_rows() -> None:
    seen = torch.tensor([[1.0, 0.0, 0.0]])
    found = unseen_similarity(torch.tensor([[1.0]]), torch.tensor([[5.0], [3.0], [4.0]]), seen)
    np.testing.assert_allclose(found, [[0.0, 0.6, 0.8]], rtol=1e-5)


def test_rows_of_the_log_become_continuous() -> None:
    torch.manual_seed(0)
    found = soften(torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.zeros(1, 4))
    np.testing.assert_allclose(found, [[0.5**0.5, 0, 0.5**0.5, 0]], atol=0.01)
    assert found.norm().item() == pytest.approx(1.0)


def test_a_critic_with_slope_one_pays_no_penalty() -> None:
    torch.manual_seed(0)
    critic = Critic(3, 4)
    critic.net = torch.nn.Linear(3, 1, bias=False)
    rows = torch.rand(5, 3)
    for slope, penalty in (([0.6, 0.8, 0.0], 0.0), ([0.0, 3.0, 0.0], 4.0)):
        with torch.no_grad():
            critic.net.weight[:] = torch.tensor([slope])
        assert gradient_penalty(critic, rows, rows + 1).item() == pytest.approx(penalty, abs=1e-4)


def test_the_critic_learns_to_tell_real_from_generated() -> None:
    torch.manual_seed(0)
    critic = Critic(6, 16, lr=0.01)
    seen = torch.tensor([[1.0, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0]])
    fakes = torch.nn.functional.normalize(torch.tensor([[0.0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1]]), dim=1)
    for _ in range(60):
        wasserstein_step(critic, seen, torch.zeros(2, 6), fakes)
    with torch.no_grad():
        gap = critic(soften(seen, torch.zeros(2, 6))).mean() - critic(fakes).mean()
    assert gap > 0.5


@pytest.fixture
def prepared() -> MMSSL:
    data = toy_world().training
    method = MMSSL(MMSSLConfig(width=8, heads=2, neighbours=5, dropout=0.0))
    method.popularity = np.ones(61, dtype=np.float32)
    method.pairs = Pairs.of(data.train, 61)
    method.prepare(data)
    torch.manual_seed(0)
    method.module = method.build(61)
    return method


def test_rows_of_the_log(prepared: MMSSL) -> None:
    users = torch.tensor([5, 0, 199])
    rows = prepared.seen_rows(users)
    for place, user in enumerate(users.tolist()):
        assert set(rows[place].nonzero()[:, 0].tolist()) == set(toy_world().split.train.items_of(user))


def test_structures_hold_each_users_best_items(prepared: MMSSL) -> None:
    users, items = torch.eye(3), torch.rand(61, 3, generator=torch.Generator().manual_seed(1))
    structure = prepared.best_items(users, items, block=2).items_to_users.to_dense()
    for user in range(3):
        best = set(items[:, user].topk(5).indices.tolist())
        assert set(structure[user].nonzero()[:, 0].tolist()) == best
        np.testing.assert_allclose(structure[user].max(), 0.2, rtol=1e-5)


def test_folding_in_repeats_the_networks_pass(prepared: MMSSL) -> None:
    """With structures from the features, and id vectors as the fold-in makes them, both passes agree."""
    train = toy_world().training.train
    prepared.renew_structures()
    prepared.summarise()
    with torch.no_grad():
        folded = prepared.fold_in(train, prepared.learnt["readout"])
        views = prepared.module(prepared.graph, prepared.structures)
        ids = views.users + (folded - prepared.module.users.weight) / (prepared.config.layers + 1)
        expected = ids @ views.items.T
    np.testing.assert_allclose(prepared.score(train), expected, rtol=1e-3, atol=1e-4)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="width 10 is not a multiple of heads 4"):
        MMSSL(MMSSLConfig(width=10)).fit(toy_world().training, seed=0)


class Parts:
    """One batch of the prepared method, and what its loss is made of, computed again here."""

    def __init__(self, method: MMSSL) -> None:
        random = np.random.default_rng(0)
        self.batch = next(method.pairs.epoch(64, random))
        self.users = torch.unique(self.batch.users)[:8]
        self.views = method.module(method.graph, method.structures)
        users, items = self.views.users, self.views.items
        triple = users[self.batch.users], items[self.batch.positives], items[self.batch.negatives[:, 0]]
        margins = (triple[0] * (triple[1] - triple[2])).sum(dim=1)
        self.bpr = torch.log1p(torch.exp(-margins)).mean()
        self.final_norm = sum(part.square().sum() for part in triple) / (2 * len(margins))
        contents = [*self.views.user_contents, *self.views.item_contents]
        self.content_norm = sum(part.square().sum() for part in contents) / (2 * 61)
        fused = self.views.user_fused[self.users]
        temperature = method.config.temperature
        self.contrast = sum(
            cross_modal_loss(view[self.users], fused, temperature) for view in self.views.user_ids
        )


def test_loss_is_the_sum_of_its_parts_at_their_weights(
    prepared: MMSSL, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(prepared)
    monkeypatch.setattr(MMSSL, "adversarial_loss", lambda self, views, users: torch.tensor(7.0))
    prepared.config = prepared.config.model_copy(update={"l2": 0.3, "contrast": 0.2, "adversary": 0.5})
    found = prepared.loss(parts.views, parts.batch, parts.users)
    norms = 0.3 * (parts.final_norm + parts.content_norm)
    torch.testing.assert_close(found, parts.bpr + norms + 0.2 * parts.contrast + 3.5)
    prepared.config = prepared.config.model_copy(update={"adversary": 0.0})
    without = prepared.loss(parts.views, parts.batch, parts.users)
    torch.testing.assert_close(found - without, torch.tensor(3.5))


def test_adversary_shows_the_critic_the_log_and_is_paid_by_what_it_makes_of_the_generator(
    prepared: MMSSL, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, shown = Parts(prepared), []

    def step(critic: Critic, seen: torch.Tensor, own: torch.Tensor, fakes: torch.Tensor) -> None:
        shown.append((critic, seen, own, fakes))
        wasserstein_step(critic, seen, own, fakes)

    monkeypatch.setattr("unimp.baselines.mmssl.wasserstein_step", step)
    before = [values.clone() for values in prepared.critic.parameters()]
    loss = prepared.adversarial_loss(parts.views, parts.users)
    ((critic, seen, own, fakes),) = shown
    assert critic is prepared.critic
    assert any(not torch.equal(old, new) for old, new in zip(before, critic.parameters(), strict=True))
    assert torch.equal(seen, prepared.seen_rows(parts.users))
    views = parts.views
    expected = [
        unseen_similarity(users[parts.users], items, seen)
        for users, items in zip(views.user_contents, views.item_contents, strict=True)
    ]
    torch.testing.assert_close(fakes, torch.cat(expected))
    torch.testing.assert_close(own, unseen_similarity(views.users[parts.users], views.items, seen))
    assert not fakes.requires_grad
    assert not own.requires_grad
    torch.testing.assert_close(loss, -critic(fakes).mean())  # by the critic as it is after its step
    (slope,) = torch.autograd.grad(loss, prepared.module.projections[0].weight)
    assert slope.abs().sum() > 0
