"""`AveragingAdamW`: AdamW that also keeps an exponential average of the weights that it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

AVERAGE = "average"
"""Of a weight's average in the optimizer's state, which is saved and shared out as the moments are."""


class AveragingAdamW(torch.optim.AdamW):
    """After step n an average moves by 1 - min(`average`, (1 + n) / (10 + n)) towards its weight.

    The average of the last steps lies where the loss is flatter than at any of them (Polyak and Juditsky
    1992; Izmailov et al. 2018). At first it forgets quickly: the first weights soon count for little.
    """

    def __init__(self, params: Any, *, average: float = 0.0, **settings: Any) -> None:
        """`average`: decay of a step, 0 for no average; further settings are AdamW's."""
        super().__init__(params, **settings)
        self.average = average

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss: float | None = super().step(closure)
        if self.average:
            for parameter in self._changed():
                state = self.state[parameter]
                if AVERAGE not in state:
                    state[AVERAGE] = parameter.detach().clone()
                done = float(state["step"])
                state[AVERAGE].lerp_(parameter, 1 - min(self.average, (1 + done) / (10 + done)))
        return loss

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the parameters hold their averages."""
        kept: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            for parameter in self._changed() if self.average else ():
                kept.append((parameter, parameter.detach().clone()))
                parameter.copy_(self.state[parameter].get(AVERAGE, parameter))
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, weights in kept:
                    parameter.copy_(weights)

    def _changed(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from (parameter for parameter in group["params"] if parameter in self.state)
