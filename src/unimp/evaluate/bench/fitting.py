"""One fit of one job, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass

from unimp.baselines.baseline import Method
from unimp.core.errors import ConfigError
from unimp.evaluate.bench.environment import PeakMemory
from unimp.evaluate.bench.jobs import Job, Session


@dataclass
class FittedMethod:
    """A method that has learnt, and what that took."""

    method: Method
    seconds: float
    """On the clock."""
    cpu_seconds: float | None
    """Of all threads: what stays comparable on a machine that does other work too. None: not measured."""
    peak_memory_mib: float
    again: Method | None = None
    """The method that `refit` made of this one."""


def fit(session: Session, job: Job) -> FittedMethod:
    """Learn from the training part; the same job gives the same method."""
    memory = PeakMemory()
    method = job.entry.load()(job.config)
    start, start_cpu = time.perf_counter(), time.process_time()
    method.fit(session.training, seed=job.seed, show_progress=session.show_progress)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    # A method that opened an earlier training reports what that one cost.
    earlier = getattr(method, "reported_cost", None)
    if earlier is not None:
        return FittedMethod(method, earlier[0], None, max(earlier[1], memory.mebibytes()))
    return FittedMethod(method, seconds, cpu_seconds, memory.mebibytes())


def refit(session: Session, job: Job, fitted: FittedMethod) -> Method:
    """The method once more, the validation items among its events; once for all fusions of a job.

    ConfigError where it cannot: `refitted` is not part of the protocol.
    """
    if fitted.again is None:
        learn_again = getattr(fitted.method, "refitted", None)
        if learn_again is None:
            raise ConfigError(f"{job.method}: has no `refitted` to learn again by; leave out --refit-methods")
        again: Method = learn_again(
            session.train_and_valid, seed=job.seed, show_progress=session.show_progress
        )
        fitted.again = again
    return fitted.again
