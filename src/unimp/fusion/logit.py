"""Conditional logit: which of all items was chosen, from the features of each; closed gradient, L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unimp.data.histories import FloatArray

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SampledChoices:
    """U choices among M items each; the chosen one is the first.

    `offsets`: [U, M] log of how many items of the catalogue each one stands for (0 for itself alone, −inf for
    padding), so that the sum over the M is an unbiased stand-in for the sum over the catalogue.
    """

    features: FloatArray
    """[U, M, F], standardised."""
    offsets: FloatArray

    def select(self, users: npt.NDArray[np.int64]) -> SampledChoices:
        return SampledChoices(self.features[users], self.offsets[users])


def loss_and_gradient(weights: Weights, choices: SampledChoices, l2: float) -> tuple[float, Weights]:
    """Mean −log P(chosen) + l2 |w|², and its gradient: expected features less those of the chosen."""
    users, _, _ = choices.features.shape
    flat = choices.features.reshape(-1, choices.features.shape[2])
    scores = (flat @ weights.astype(np.float32)).reshape(choices.offsets.shape) + choices.offsets
    top = scores.max(axis=1, keepdims=True)
    shares = np.exp(scores - top)
    total = shares.sum(axis=1, keepdims=True)
    loss = float((top[:, 0] + np.log(total[:, 0]) - scores[:, 0]).astype(np.float64).mean())
    shares /= total
    shares[:, 0] -= 1.0
    gradient = (shares.ravel() @ flat).astype(np.float64) / users
    return loss + l2 * float(weights @ weights), gradient + 2 * l2 * weights


def fit_logit(
    choices: SampledChoices, *, l2: float, start: Weights | None = None, steps: int = 100
) -> Weights:
    """[F] weights of the least loss."""
    from scipy.optimize import minimize  # answering needs none of it

    begin = np.zeros(choices.features.shape[2]) if start is None else start
    found = minimize(
        loss_and_gradient, begin, args=(choices, l2), jac=True, method="L-BFGS-B", options={"maxiter": steps}
    )
    weights: Weights = found.x
    return weights
