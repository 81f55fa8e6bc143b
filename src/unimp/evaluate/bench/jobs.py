"""What is to be done: one job per method, settings and seed, and what all jobs of a run share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unimp.baselines import MethodEntry, find_method
from unimp.baselines.baseline import ItemFeatures, TrainingData
from unimp.core.config import Config, dotted
from unimp.core.errors import ConfigError, did_you_mean
from unimp.core.search_space import SearchSpace
from unimp.data.dataset import Dataset
from unimp.data.histories import Histories, Split
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.evaluate.bench.result import result_name
from unimp.evaluate.bench.second_stage import FusionRecord
from unimp.evaluate.bench.tries import Tuning
from unimp.fusion.config import FusionConfig, FusionKind, TeacherConfig
from unimp.fusion.fused import FusionMaker
from unimp.fusion.teacher import RelationTeacher
from unimp.fusion.with_validation import with_validation


@dataclass(frozen=True)
class Job:
    """One figure to make."""

    method: str
    entry: MethodEntry
    config: Config
    seed: int
    space: SearchSpace = field(default_factory=dict)
    """What tuning may vary: the method's search space without what was set by hand."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    path: Path | None
    """The result file; None when the job failed."""
    done_before: bool = False
    problem: str = ""
    """Why it failed."""
    fusion: FusionKind = "none"
    """The second stage it was judged with."""


@dataclass(frozen=True)
class Session:
    """What all the jobs of a run share."""

    dataset: Dataset
    split: Split
    protocol: BenchmarkProtocol
    folder: Path
    with_ids: bool
    show_progress: bool
    features: ItemFeatures | None = None
    fusions: tuple[FusionConfig, ...] = (FusionConfig(),)
    """Second stages that every fitted method is judged under."""

    @cached_property
    def fusion_maker(self) -> FusionMaker:
        """Fits second stages; what it counts on the log serves every method."""
        return FusionMaker(self.training, cache=picture_cache(), show=self.show_progress)

    @cached_property
    def training(self) -> TrainingData:
        """What methods learn from and tuning chooses by; no test is in it."""
        return TrainingData.of(
            self.split,
            self.dataset.catalog,
            exclude_history=self.protocol.exclude_history,
            features=self.features,
            teacher=self.teacher(self.split.train),
        )

    @cached_property
    def train_and_valid(self) -> TrainingData:
        """The validation items among the training events, and nothing held out but the test."""
        log, none = with_validation(self.split.train, self.split.valid), self.split.valid.select(np.arange(0))
        return replace(self.training, train=log, valid=none, teacher=self.teacher(log))

    def teacher(self, log: Histories) -> RelationTeacher:
        """For the methods whose settings ask for one; it learns when it is first asked."""
        return RelationTeacher(
            self.dataset.catalog,
            log,
            TeacherConfig(),
            exclude_history=self.protocol.exclude_history,
            show=self.show_progress,
        )

    def name_of(self, job: Job, tuning: Tuning | None = None, fusion: FusionConfig | None = None) -> str:
        values, record = config_values(job), fusion_record(fusion)
        data = self.dataset.data_hash
        return result_name(job.method, values, self.protocol, data, job.seed, tuning, record)


def fusion_record(fusion: FusionConfig | None) -> FusionRecord | None:
    """What a result says of a second stage before it is fitted."""
    if fusion is None:
        return None
    return FusionRecord(kind=fusion.kind, settings=fusion.model_dump(mode="json"))


def picture_cache() -> Path:
    """Where statistics of pictures are kept from one run to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "unimp"


def config_values(job: Job) -> dict[str, Any]:
    return job.config.model_dump(mode="json")


def plan_jobs(
    methods: Mapping[str, MethodEntry],
    names: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    overrides: Mapping[str, Any] | None = None,
) -> list[Job]:
    """Each method of `names` with each seed (one seed where nothing is random).

    `overrides` maps a method's name to settings for it; ConfigError on names or keys that do not exist.
    """
    overrides = overrides or {}
    for name, settings in overrides.items():
        if name not in names or not isinstance(settings, Mapping):
            hint = did_you_mean(name, names)
            raise ConfigError(f"--set {name}: expected METHOD.KEY=VALUE of a method that is run{hint}")
    jobs = []
    for name in dict.fromkeys(names):
        entry = find_method(name, methods)
        config = entry.config(overrides.get(name), place=f"--set {name}")
        by_hand = set(dotted(overrides.get(name, {})))
        space = {key: dimension for key, dimension in entry.search_space().items() if key not in by_hand}
        jobs += [Job(name, entry, config, seed, space) for seed in (seeds if entry.seeded else seeds[:1])]
    return jobs
