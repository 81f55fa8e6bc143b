"""Causal methods that learn from a teacher beside what users chose."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
import torch

from unimp.baselines.baseline import TrainingData
from unimp.baselines.gsasrec import GSASRec
from unimp.baselines.sasrec import SASRec, SASRecConfig
from unimp.baselines.shared.taught import TaughtBaseline
from unimp.core.config import TeacherKind
from unimp.core.errors import ConfigError
from unimp.data.histories import FloatArray, Histories
from unimp.testing.world import toy_world

LISTS = [[1, 2, 3, 4, 5, 6], [7, 8], [9]]
"""The first is longer than the four events that the network reads."""
SHARE = 0.6


class ToyTeacher:
    """Behind event e: items e and e + 1 modulo 12, with three quarters and a quarter."""

    def targets(self, kind: TeacherKind) -> tuple[npt.NDArray[np.int32], FloatArray]:
        events = np.arange(sum(len(rows) for rows in LISTS), dtype=np.int32)
        items = np.stack((events % 12, (events + 1) % 12), axis=1)
        return items, np.tile(np.array([0.75, 0.25], dtype=np.float32), (len(items), 1))


def data(teacher: ToyTeacher | None) -> TrainingData:
    world, train = toy_world(), Histories.from_lists(LISTS)
    return dataclasses.replace(world.training, train=train, teacher=teacher)


def taught(config: SASRecConfig) -> SASRec:
    method = SASRec(config)
    torch.manual_seed(1)
    method.module = method.build(num_items=12)
    return method


def test_targets_are_mixed_and_the_last_event_has_the_teachers_alone() -> None:
    config = SASRecConfig(width=8, heads=2, max_events=4, dropout=0.0, teacher_share=SHARE, batch_events=99)
    method = taught(config)
    (loss,) = method.losses(data(ToyTeacher()), np.random.default_rng(0))
    # Windows share one event: 1 2 | 2 3 4 5 6; the second is too long to be read to its last event.
    read = [([1], 0, 2), ([2], 1, 3), ([2, 3], 2, 4), ([2, 3, 4], 3, 5), ([2, 3, 4, 5], 4, 6)]
    read += [([7], 6, 8), ([7, 8], 7, None)]
    naive = []
    for items, event, chosen in read:
        log_p = torch.log_softmax(
            method.module(torch.tensor([items]))[0, -1] @ method.module.items.weight.T, 0
        )
        teachers = 0.75 * log_p[event % 12] + 0.25 * log_p[(event + 1) % 12]
        naive.append(-teachers if chosen is None else -(SHARE * teachers + (1 - SHARE) * log_p[chosen]))
    torch.testing.assert_close(loss, torch.stack(naive).mean())


def test_without_a_share_nothing_changes_and_nothing_is_recorded() -> None:
    plain = SASRecConfig(width=8, heads=2, dropout=0.0)
    assert "teacher_share" not in plain.model_dump()
    assert plain.changed(teacher_share=SHARE).model_dump()["teacher_share"] == SHARE
    method = taught(plain)
    losses = [
        list(method.losses(data(teacher), np.random.default_rng(0))) for teacher in (None, ToyTeacher())
    ]
    torch.testing.assert_close(losses[0], losses[1])


def test_a_teacher_is_needed_where_one_is_asked_for() -> None:
    method: TaughtBaseline = taught(SASRecConfig(width=8, heads=2, teacher_share=SHARE))
    with pytest.raises(ConfigError, match=r"sasrec\.teacher_share: the training data bring no teacher; set"):
        next(iter(method.losses(data(None), np.random.default_rng(0))))


def test_only_methods_with_the_full_softmax_can_be_taught() -> None:
    assert issubclass(SASRec, TaughtBaseline)
    assert not issubclass(GSASRec, TaughtBaseline)
    assert "teacher_share" not in GSASRec.config_class.model_fields
