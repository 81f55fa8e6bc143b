"""Opt-in noise and other seeds: what tests must stand, as another processor or BLAS would bring it about.

`UNIMP_TEST_NOISE=1e-6` multiplies initial weights, factors in closed form and products of tensors by
1 + 1e-6 · N(0, 1). The draw depends on shapes alone: the same computation gives the same bits, and the same
numbers by another path (a batch, a cache, padding) differ as float32 sums over another shape do.
`UNIMP_TEST_SEED=1` shifts the seeds that trainings give to torch and to the ratings' factors.
"""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

STRIDE = 7919
"""Between the seeds of one `UNIMP_TEST_SEED` and the next."""
INITIALISERS = (
    "normal_",
    "uniform_",
    "trunc_normal_",
    "xavier_normal_",
    "xavier_uniform_",
    "kaiming_uniform_",
)
FACTORS = (
    ("unimp.features.text", "right_factors"),
    ("unimp.tasks.rating.factors", "solve_side"),
    ("unimp.features.item_graph", "mirror_upper"),
)
"""Functions that return factors in closed form, called through their module."""
PRODUCTS = (
    (nn.functional, "linear"),
    (nn.functional, "conv2d"),
    (nn.functional, "scaled_dot_product_attention"),
    (torch.Tensor, "__matmul__"),
)


@dataclass(frozen=True)
class Perturbation:
    """What the environment asks for; nothing by default."""

    noise: float = 0.0
    """Standard deviation of what is multiplied, less one."""
    seed: int = 0

    @staticmethod
    def of_environment() -> Perturbation:
        """ValueError where a variable holds no number."""
        read = os.environ.get
        return Perturbation(float(read("UNIMP_TEST_NOISE") or 0), int(read("UNIMP_TEST_SEED") or 0))

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Every change is undone by `patch`."""
        if self.noise:
            for name in INITIALISERS:
                patch.setattr(nn.init, name, self.noisy_weights(getattr(nn.init, name)))
            for module_name, name in FACTORS:
                module = importlib.import_module(module_name)
                patch.setattr(module, name, self.noisy_factors(getattr(module, name)))
            for owner, name in PRODUCTS:
                patch.setattr(owner, name, self.noisy_product(getattr(owner, name)))
        if self.seed:
            self.shift_seeds(patch)

    def shift_seeds(self, patch: pytest.MonkeyPatch) -> None:
        from unimp.tasks.rating import factors

        manual_seed, sweeping = torch.manual_seed, factors.sweeping
        shift = self.seed * STRIDE
        patch.setattr(torch, "manual_seed", lambda seed: manual_seed(int(seed) + shift))
        patch.setattr(
            factors,
            "sweeping",
            lambda train, rank, config, seed: sweeping(train, rank, config, seed + shift),
        )

    def noisy_weights(self, initialise: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def noisy(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            initialise(tensor, *args, **kwargs)
            with torch.no_grad():
                return tensor.mul_(self.factor(tuple(tensor.shape)).to(tensor))

        return noisy

    def noisy_factors(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def noisy(*args: Any, **kwargs: Any) -> Any:
            found = compute(*args, **kwargs)
            return found * self.factor(found.shape).numpy().astype(found.dtype)

        return noisy

    def noisy_product(self, multiply: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def noisy(left: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            found = multiply(left, *args, **kwargs)
            if found.dtype is not torch.float32 or not found.ndim:
                return found
            return found * self.factor((found.shape[-1],), tuple(left.shape)).to(found.device)

        return noisy

    def factor(self, shape: tuple[int, ...], of: tuple[int, ...] = ()) -> Tensor:
        """[*shape] the same for the same two shapes."""
        random = np.random.Generator(np.random.PCG64(zlib.crc32(repr((shape, of)).encode())))
        return torch.from_numpy(1.0 + self.noise * random.standard_normal(shape)).float()
