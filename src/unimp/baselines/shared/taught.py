"""Causal methods with the full softmax that can learn from a teacher without a network, as UniMP can."""

# B windows, T events, E training events, K items per target distribution, N predictions

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.causal import CausalBaseline, CausalConfig
from unimp.baselines.shared.sequences import batches_by_length, training_windows
from unimp.core.config import TeacherKind
from unimp.core.cross_entropy import linear_cross_entropy
from unimp.core.errors import ConfigError


class TaughtConfig(CausalConfig):
    teacher_share: float = Field(default=0.0, ge=0, lt=1)
    """Part of the teacher in every target, as `distillation.share` in UniMP's recipes; 0: none."""
    teacher: TeacherKind = "linear"
    """As `distillation.kind` in UniMP's recipes."""

    added_later: ClassVar[frozenset[str]] = frozenset({"teacher_share", "teacher"})


TaughtConfigT = TypeVar("TaughtConfigT", bound=TaughtConfig)


class TaughtBaseline(CausalBaseline[TaughtConfigT]):
    """With `teacher_share`, a target is the next item and the teacher's distribution, mixed; behind a
    history's last event it is the teacher's alone."""

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        if self.config.teacher_share:
            yield from self.taught_losses(data, random)
        else:
            yield from super().losses(data, random)

    def taught_losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        """The loss of each step of one epoch; ConfigError for a method that samples its softmax."""
        method = type(self).__name__.lower()
        if type(self).position_loss is not CausalBaseline.position_loss:
            raise ConfigError(f"{method}.teacher_share: {method} has no full softmax to teach; set it to 0")
        targets = data.teacher_targets(method, self.config.teacher)
        items_EK, parts_EK = (torch.from_numpy(array) for array in targets)
        share = self.config.teacher_share
        windows = training_windows(data.train, self.config.max_events)
        at_end = np.isin(windows.starts + windows.lengths, data.train.offsets[1:])
        for chosen in batches_by_length(windows.lengths, self.config.batch_events, random):
            read = windows.padded(chosen)[:, : self.config.max_events]
            lengths, steps = windows.lengths[chosen][:, None], np.arange(read.shape[1])
            followed_BT = steps < lengths - 1
            real_BT = followed_BT | ((steps == lengths - 1) & at_end[chosen][:, None])
            events_N = (windows.starts[chosen][:, None] + steps)[real_BT]
            followed_N = torch.from_numpy(followed_BT[real_BT]).float()[:, None]
            own_N = windows.item_rows[np.minimum(events_N + 1, len(windows.item_rows) - 1)]
            labels = torch.cat((torch.from_numpy(own_N)[:, None], items_EK[events_N].long()), dim=1)
            taught_N = 1 - (1 - share) * followed_N
            parts = torch.cat(((1 - share) * followed_N, taught_N * parts_EK[events_N]), dim=1)
            yield self.soft_loss(torch.from_numpy(read), torch.from_numpy(real_BT), labels, parts)

    def soft_loss(self, rows_BT: Tensor, real_BT: Tensor, labels_NK: Tensor, parts_NK: Tensor) -> Tensor:
        """Mean of −Σ part · log p(label) over the N real positions of a batch."""
        device = self.config.device
        real_BT = real_BT.to(device)
        hidden_ND = self.module.states(rows_BT.to(device), real_BT.sum(dim=1))[real_BT]
        ones_N = hidden_ND.new_ones(len(hidden_ND))
        items_ID, labels_NK, parts_NK = self.module.items.weight, labels_NK.to(device), parts_NK.to(device)
        return linear_cross_entropy(hidden_ND, items_ID, labels_NK, parts_NK, ones_N)[0]
