"""Distillation: a teacher (`unimp.fusion.teacher`) has a part in the targets of recommendation."""

# E training events, U users, K items per target distribution, N predictions, H right answers of each

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import IntArray
from unimp.fusion.teacher import RelationTeacher
from unimp.runs.training_config import DistillationConfig
from unimp.runs.training_split import TrainingSplit
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.targets import TokenTargets
from unimp.tasks.windows import Window


@dataclass(frozen=True)
class SoftTargets:
    """A distribution over K items behind every event: K items, and their parts, which sum to 1."""

    items: Tensor
    """[E, K] int32, what may come after event e and those before it."""
    parts: Tensor
    """[E, K] float32."""
    offsets: IntArray
    """[U + 1] of the training histories."""
    share: float
    """Part of the teacher in every target that it has an opinion on."""

    def added(
        self, targets: TokenTargets, windows: Sequence[Window], lengths: Tensor, width: int
    ) -> TokenTargets:
        """`targets` of one batch, mixed with the teacher's; behind a history's end, the teacher's alone.

        `targets`: the items of the sentences of `windows`, in order; `lengths`: [B] positions of each
        sentence, `width`: of the padded batch. Before a user's first event the teacher has nothing to say.
        """
        firsts = torch.from_numpy(self.offsets[[window.user for window in windows]])
        starts = firsts + torch.tensor([window.start for window in windows])
        counts = torch.tensor([window.stop - window.start for window in windows])
        before = counts.cumsum(0) - counts
        events_N = torch.arange(len(targets.labels)) - (before - starts).repeat_interleave(counts)
        known_N = (events_N > firsts.repeat_interleave(counts)).float()[:, None]
        rows_N = (events_N - 1).clamp(min=0)
        share_N = self.share * known_N
        labels = torch.cat((targets.labels, self.items[rows_N].long()), dim=1)
        parts = torch.cat((targets.parts * (1 - share_N), self.parts[rows_N] * share_N), dim=1)
        mixed = replace(targets, labels=labels, parts=parts)
        return joined(mixed, self.ends(windows, lengths, width, targets.labels.shape[1]))

    def ends(self, windows: Sequence[Window], lengths: Tensor, width: int, right: int) -> TokenTargets:
        """The teacher's targets behind the last events of histories, which no training event follows.

        `right`: columns of right answers, empty here.
        """
        last_B = self.offsets[[window.user for window in windows]] + [window.stop - 1 for window in windows]
        ends = np.flatnonzero(self.offsets[[window.user + 1 for window in windows]] == last_B + 1)
        items = self.items[last_B[ends]].long()
        number = len(ends)
        return TokenTargets(
            torch.from_numpy(ends) * width + lengths[ends] - 1,
            torch.cat((items[:, :1].expand(-1, right), items), dim=1),
            torch.cat((torch.zeros(number, right), self.parts[last_B[ends]]), dim=1),
            torch.full((number,), int(Kind.ITEM)),
            torch.full((number,), int(Role.ANSWER)),
            torch.ones(number),
        )


def joined(first: TokenTargets, second: TokenTargets) -> TokenTargets:
    """The predictions of both, in the kinds of numbers of the first."""
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)]
    return TokenTargets(*(torch.cat((own, other.to(own.dtype))) for own, other in pairs))


def soft_targets(
    split: TrainingSplit, config: DistillationConfig, *, cold_items: bool = True, show: bool = False
) -> SoftTargets | None:
    """The teacher's targets for the training histories; None when `share` is 0.

    `cold_items`: whether items without a training event may be targets. ConfigError where the catalogue is
    too large.
    """
    if not config.share:
        return None
    teacher = RelationTeacher(
        split.catalog,
        split.train,
        config,
        exclude_history=split.exclude_history,
        cold_items=cold_items,
        show=show,
    )
    items, parts = teacher.targets(config.kind)
    return SoftTargets(torch.from_numpy(items), torch.from_numpy(parts), split.train.offsets, config.share)
