"""The noise that tests can be asked to stand is that of another path, and goes away again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.perturbation import Perturbation

NOISE = 1e-3
"""So large that float32's own rounding is nothing beside it."""


def made() -> tuple[torch.Tensor, torch.Tensor]:
    """A linear layer's output for six rows at once, and for the first of them alone."""
    torch.manual_seed(0)
    layer, rows = nn.Linear(8, 5), torch.randn(6, 8)
    with torch.no_grad():
        return layer(rows), layer(rows[:1])


def test_the_same_path_gives_the_same_bits_and_another_path_does_not() -> None:
    plain, _ = made()
    with pytest.MonkeyPatch.context() as patch:
        Perturbation(noise=NOISE).install(patch)
        (together, alone), (again, _) = made(), made()
    assert torch.equal(together, again)
    assert not torch.equal(together, plain)
    torch.testing.assert_close(together, plain, rtol=0.05, atol=10 * NOISE)
    assert not torch.allclose(together[:1], alone, rtol=1e-5, atol=0)
    torch.testing.assert_close(together[:1], alone, rtol=0.05, atol=10 * NOISE)


def test_other_seeds_are_other_weights_and_both_go_away() -> None:
    plain, _ = made()
    with pytest.MonkeyPatch.context() as patch:
        Perturbation(noise=NOISE, seed=1).install(patch)
        other, _ = made()
    assert not torch.allclose(other, plain, atol=0.1)
    with pytest.MonkeyPatch.context() as patch:
        Perturbation().install(patch)  # what an empty environment asks for
        assert torch.equal(made()[0], plain)


def test_a_variable_without_a_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIMP_TEST_NOISE", "a little")
    with pytest.raises(ValueError, match="a little"):
        Perturbation.of_environment()
    monkeypatch.setenv("UNIMP_TEST_NOISE", "1e-6")
    monkeypatch.setenv("UNIMP_TEST_SEED", "2")
    assert Perturbation.of_environment() == Perturbation(1e-6, 2)
