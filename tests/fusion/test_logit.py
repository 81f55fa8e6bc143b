"""The logit's gradient, and what its sampled sum stands for."""

from __future__ import annotations

import numpy as np
import torch

from unimp.fusion.logit import SampledChoices, fit_logit, loss_and_gradient


def some_choices(seed: int = 0) -> SampledChoices:
    random = np.random.default_rng(seed)
    offsets = random.choice([0.0, 0.7], size=(6, 5)).astype(np.float32)
    offsets[:, 0] = 0.0
    offsets[2, 4] = -np.inf  # padding
    features = random.standard_normal((6, 5, 3)).astype(np.float32)
    return SampledChoices(features, offsets)


def test_the_gradient_is_that_of_autograd() -> None:
    choices, weights = some_choices(), np.array([0.3, -0.7, 1.1])
    loss, gradient = loss_and_gradient(weights, choices, 0.01)
    leaf = torch.tensor(weights, requires_grad=True)
    scores = torch.tensor(choices.features).double() @ leaf + torch.tensor(choices.offsets).double()
    expected = (torch.logsumexp(scores, dim=1) - scores[:, 0]).mean() + 0.01 * (leaf**2).sum()
    expected.backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_the_fit_is_where_the_gradient_vanishes() -> None:
    choices = some_choices(1)
    _, gradient = loss_and_gradient(fit_logit(choices, l2=0.1), choices, 0.1)
    assert np.abs(gradient).max() < 1e-3


def test_an_item_that_stands_for_two_counts_as_two() -> None:
    features = np.array([[[1.0], [0.5]]], dtype=np.float32)
    twice = np.concatenate([features, features[:, 1:]], axis=1)
    weighted = SampledChoices(features, np.log([[1.0, 2.0]]).astype(np.float32))
    plain = SampledChoices(twice, np.zeros((1, 3), dtype=np.float32))
    ours, theirs = (loss_and_gradient(np.array([0.4]), one, 0.0) for one in (weighted, plain))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)
