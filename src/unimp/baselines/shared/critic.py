"""A Wasserstein critic of catalogue-wide rows, for methods that learn structure against it."""

# N rows, I items

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PENALTY = 0.3
"""Weight of the gradient penalty (MMSSL's)."""
NOISE = 1e-5
"""Scale of the Gumbel noise on the log's rows (MMSSL's)."""
SHARPNESS = 0.005
"""Temperature of the softmax over those rows (MMSSL's)."""
SIMILARITY = 100.0
"""ζ, weight of the model's own similarities in them (MMSSL's)."""


class Critic(nn.Module):
    """How real a row of a user's preferences over the catalogue looks: [N, I] -> [N].

    Layer normalisation, not batch normalisation: the gradient penalty needs rows that do not see each other
    (Gulrajani et al., NeurIPS 2017, sec. 4).
    """

    def __init__(self, num_items: int, width: int, lr: float = 3e-4) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(num_items, width),
            nn.LeakyReLU(),
            nn.LayerNorm(width),
            nn.Linear(width, max(width // 2, 1)),
            nn.LeakyReLU(),
            nn.Linear(max(width // 2, 1), 1),
        )
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr, betas=(0.5, 0.9))

    def forward(self, rows_NI: Tensor) -> Tensor:
        value: Tensor = self.net(rows_NI).squeeze(1)
        return value


def soften(seen_NI: Tensor, similarity_NI: Tensor) -> Tensor:
    """[N, I] unit rows of the log made continuous: softmax((A + Gumbel noise) / τ) + ζ · similarity."""
    uniform = torch.rand_like(seen_NI).clamp(1e-8, 1 - 1e-7)
    noisy = seen_NI - NOISE * torch.log(-torch.log(uniform))
    return F.normalize(F.softmax(noisy / SHARPNESS, dim=1) + SIMILARITY * similarity_NI, dim=1)


def gradient_penalty(critic: Critic, real_NI: Tensor, fake_NI: Tensor) -> Tensor:
    """Mean of (‖∇ critic‖ − 1)² at random points between real and fake rows."""
    share = torch.rand(len(real_NI), 1, device=real_NI.device)
    between = (share * real_NI + (1 - share) * fake_NI).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


def wasserstein_step(critic: Critic, seen_NI: Tensor, similarity_NI: Tensor, fakes_KI: Tensor) -> None:
    """One step of the critic: real rows up, fakes down; K is a multiple of N, one block per modality."""
    real = soften(seen_NI, similarity_NI).repeat(len(fakes_KI) // len(seen_NI), 1)
    loss = critic(fakes_KI).mean() - critic(real).mean() + PENALTY * gradient_penalty(critic, real, fakes_KI)
    critic.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    critic.optimizer.step()
