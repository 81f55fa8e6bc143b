"""`RowAdamW`: AdamW for a large table of which a step touches few rows.

The dense optimizer changes every row at every step: weights decay, and the first moment still moves a row
long after its last gradient. Here a row makes up for the steps that it missed when it is next touched, by
closed forms of what the dense optimizer would have done with gradients of zero.
"""

# R rows, D width, T steps of the training

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**16
"""Rows that catch up at a time."""


@dataclass
class Touched:
    """Rows of one step, as they are before it."""

    rows_R: Tensor
    values_RD: Tensor
    """A leaf of the graph."""
    first_RD: Tensor
    second_RD: Tensor


class RowAdamW:
    """AdamW (Loshchilov & Hutter 2019) of `parameter`, equal to the dense one but for rounding and `eps`.

    After a row's last gradient at step s, with moments m and v, the dense optimizer moves it at step t by
    lr_t · m/√v · r^(t - s) · c_t, where r = β1 / √β2 and c_t = √(1 - β2^t) / (1 - β1^t), and every step
    scales it by 1 - lr_t · decay. The sum over the missed steps is D(t) · (B(s) - r^(t - s) · B(t)), where
    D(t) = Π (1 - lr · decay) and B(s) = r · (lr_(s+1) · c_(s+1) / D(s+1) + B(s+1)). Moments and the step of
    every row stand in the state of `optimizer`, where they are saved with all others.
    """

    def __init__(
        self,
        parameter: Tensor,
        optimizer: torch.optim.Optimizer,
        learning_rate: Callable[[int], float],
        total_steps: int,
        *,
        weight_decay: float,
        betas: tuple[float, float],
        eps: float = 1e-8,
    ) -> None:
        """`learning_rate`: of the step after so many steps."""
        self.parameter, self.betas, self.eps, self.decay = parameter, betas, eps, weight_decay
        self.optimizer, self.ratio = optimizer, betas[0] / betas[1] ** 0.5
        self.rates = np.array([0.0, *(learning_rate(step) for step in range(total_steps))])
        steps = np.arange(1, total_steps + 1)
        corrections = np.sqrt(-np.expm1(steps * np.log(betas[1]))) / -np.expm1(steps * np.log(betas[0]))
        self.log_kept = np.cumsum(np.log1p(-self.rates * weight_decay))
        moves = self.rates[1:] * corrections * np.exp(-self.log_kept[1:])
        ahead = np.zeros(total_steps + 1)
        for step in range(total_steps - 1, -1, -1):
            ahead[step] = self.ratio * (moves[step] + ahead[step + 1])
        self.ahead = torch.from_numpy(ahead)
        self.kept = torch.from_numpy(self.log_kept)

    @property
    def state(self) -> dict[str, Any]:
        """`exp_avg`, `exp_avg_sq` [I, D] and `step` [I]: the step that each row has reached."""
        state: dict[str, Any] = self.optimizer.state[self.parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(self.parameter.detach())
            state["exp_avg_sq"] = torch.zeros_like(self.parameter.detach())
            state["step"] = torch.zeros(len(self.parameter), dtype=torch.int32)
        return state

    @torch.no_grad()
    def touch(self, rows_R: Tensor, step: int) -> Touched:
        """The rows as they are after `step` steps, ready to collect a gradient; nothing is written yet."""
        state = self.state
        values_RD = self.parameter.index_select(0, rows_R)
        first_RD = state["exp_avg"].index_select(0, rows_R)
        second_RD = state["exp_avg_sq"].index_select(0, rows_R)
        reached_R = state["step"][rows_R.cpu()].long()
        missed_R = (step - reached_R).double()
        kept_R = torch.exp(self.kept[step] - self.kept[reached_R])
        moved_R = self.ahead[reached_R] - self.ratio**missed_R * self.ahead[step]
        moved_R = moved_R * float(np.exp(self.log_kept[step]))

        def column(values_R: Tensor) -> Tensor:
            return values_R.to(values_RD)[:, None]

        direction_RD = first_RD / (second_RD.sqrt() + self.eps)
        values_RD = values_RD * column(kept_R) - direction_RD * column(moved_R)
        first_RD *= column(self.betas[0] ** missed_R)
        second_RD *= column(self.betas[1] ** missed_R)
        return Touched(rows_R, values_RD.requires_grad_(), first_RD, second_RD)

    @torch.no_grad()
    def update(self, touched: Touched, step: int) -> None:
        """The step after `step` steps, by the gradients that the rows collected."""
        (beta1, beta2), now = self.betas, step + 1
        values_RD, grad_RD = touched.values_RD.detach(), touched.values_RD.grad
        assert grad_RD is not None
        rate = float(self.rates[now])
        values_RD.mul_(1 - rate * self.decay)
        first_RD = touched.first_RD.lerp_(grad_RD, 1 - beta1)
        second_RD = touched.second_RD.mul_(beta2).addcmul_(grad_RD, grad_RD, value=1 - beta2)
        scale_RD = (second_RD / (1 - beta2**now)).sqrt_().add_(self.eps)
        values_RD.addcdiv_(first_RD, scale_RD, value=-rate / (1 - beta1**now))
        self._write(touched, now)

    @torch.no_grad()
    def catch_up(self, step: int) -> None:
        """Bring every row to where it is after `step` steps."""
        for rows_R in torch.arange(len(self.parameter), device=self.parameter.device).split(BLOCK):
            self._write(self.touch(rows_R, step), step)

    def renumber(self, step: int) -> None:
        """Count the training's steps anew: every row has reached what is now called `step`."""
        self.state["step"].fill_(step)

    def _write(self, touched: Touched, step: int) -> None:
        state, rows_R = self.state, touched.rows_R
        self.parameter.index_copy_(0, rows_R, touched.values_RD.detach())
        state["exp_avg"].index_copy_(0, rows_R, touched.first_RD)
        state["exp_avg_sq"].index_copy_(0, rows_R, touched.second_RD)
        state["step"][rows_R.cpu()] = step
