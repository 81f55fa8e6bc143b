"""Equal tuning: every method gets the same number of tries, judged on validation, never on test."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from unimp.core.config import merge, nest
from unimp.core.errors import ConfigError, UnimpError
from unimp.core.files import write_whole
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.evaluate.bench.fitting import FittedMethod, fit
from unimp.evaluate.bench.jobs import Job, Session, config_values
from unimp.evaluate.bench.tries import CHOSEN_BY, Budget, Try, Tuning, best_try
from unimp.metrics.ranking import metric_values, rank_cases

FORMAT = 1
STARTUP = 5
"""Tries before proposals follow from the values seen; until then they are drawn evenly."""

Say = Callable[[str], object]


def tune(session: Session, job: Job, budget: Budget, say: Say) -> tuple[Job, Tuning, FittedMethod | None]:
    """The job with the settings that validation chose, how it chose them, and the winner if it is at hand.

    At hand is the fit of the best try when this very call made it with the job's own seed: it need not be
    made again for the test.

    Each finished try is on disk before the next begins, and a proposal depends on the tries before it and the
    seed alone: a killed run goes on where it stopped, and a larger budget goes on where a smaller one ended.
    UnimpError when the method refuses its first try, which is the setting it came with.
    """
    if not len(session.split.valid):
        raise ConfigError(
            f"{job.method}: this protocol leaves no validation cases to tune by; leave out --tune"
        )
    path = session.folder / f"{job.method}-{study_key(session, job, budget)}.trials.jsonl"
    tries, damage = read_tries(path, job.space)
    if damage:
        say(f"{path.name}: {damage}; tuning goes on after try {len(tries)}")
    del tries[budget.trials :]
    kept: tuple[int, FittedMethod] | None = None
    while len(tries) < budget.trials and not out_of_time(tries, budget):
        settings = propose(job, tries, budget.seed)
        attempt, fitted = make_try(session, replace(job, seed=budget.seed), settings, tries)
        tries.append(attempt)
        write_tries(path, tries)
        if fitted is not None and best_try(tries) == len(tries) - 1:
            kept = len(tries) - 1, fitted
        del fitted
        say(f"{job.method}: try {len(tries)} of {budget.trials}: {describe(tries[-1])}")
    winner = best_try(tries)
    space = {key: str(dimension) for key, dimension in job.space.items()}
    tuning = Tuning(budget=budget, space=space, tries=tuple(tries), winner=winner)
    at_hand = kept[1] if kept is not None and kept[0] == winner and job.seed == budget.seed else None
    return with_settings(job, tries[winner].settings if winner else {}), tuning, at_hand


def out_of_time(tries: Sequence[Try], budget: Budget) -> bool:
    spent = sum(attempt.seconds for attempt in tries)
    return bool(tries) and budget.minutes is not None and spent >= 60 * budget.minutes


def propose(job: Job, tries: Sequence[Try], seed: int) -> dict[str, Any]:
    """The next settings: first those the job came with, then by TPE (Bergstra et al., NeurIPS 2011)."""
    if not tries:
        return {key: job.config.value_at(key) for key in job.space}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ends = {key: distribution(job.space, key) for key in job.space}
    # A sampler of its own for every try: a resumed study must draw what the uninterrupted one would.
    number = int(np.random.SeedSequence([seed, len(tries)]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=STARTUP)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for attempt in tries:
        # A recipe's own value may lie outside of the space; the sampler cannot be told of such a try.
        inside = all(job.space[key].holds(value) for key, value in attempt.settings.items())
        if attempt.value is not None and inside:
            study.add_trial(
                optuna.create_trial(params=attempt.settings, distributions=ends, value=attempt.value)
            )
    drawn = study.ask(ends).params
    return {key: job.space[key].settle(drawn[key]) for key in job.space}


def distribution(space: SearchSpace, key: str) -> Any:
    """The dimension as optuna names it."""
    from optuna import distributions

    dimension = space[key]
    if isinstance(dimension, Choice):
        return distributions.CategoricalDistribution(dimension.values)
    if isinstance(dimension, Real):
        return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return distributions.IntDistribution(dimension.low, dimension.high, log=dimension.log)


def make_try(
    session: Session, job: Job, settings: dict[str, Any], before: Sequence[Try]
) -> tuple[Try, FittedMethod | None]:
    """The try, and what was fitted for it; nothing when it was refused or is a repeat."""
    for number, earlier in enumerate(before):
        if earlier.settings == settings:  # the same seed, so the same value
            return earlier.model_copy(update={"seconds": 0.0, "repeats": number}), None
    start = time.process_time()
    value, problem, fitted = None, "", None
    try:
        fitted = fit(session, with_settings(job, settings) if before else job)
        value = validation_quality(session, fitted)
    except UnimpError as error:
        if not before:  # what the method lacks for its own setting it lacks for all
            raise
        problem, fitted = str(error), None
    seconds = round(time.process_time() - start, 6)
    return Try(settings=settings, value=value, seconds=seconds, problem=problem), fitted


def validation_quality(session: Session, fitted: FittedMethod) -> float:
    """NDCG@5 over all validation cases, as the judge counts it; an unscored case is worth 0.

    Otherwise a setting could win by keeping silent about the users that are hard.
    """
    data = session.training
    ranks = rank_cases(fitted.method, data.valid, exclude_history=data.exclude_history)
    name, _, cutoff = CHOSEN_BY.partition("@")
    return float(np.nan_to_num(metric_values(ranks, name, int(cutoff))).mean())


def with_settings(job: Job, settings: dict[str, Any]) -> Job:
    """The job with some settings changed; without any, as it was."""
    if not settings:
        return job
    values = job.config.model_dump()
    for key, value in settings.items():
        values = merge(values, nest(key, value))
    return replace(job, config=type(job.config).parse(values, f"tuning {job.method}"))


def describe(attempt: Try) -> str:
    """One line: quality, settings, time."""
    settings = ", ".join(f"{key}={value}" for key, value in attempt.settings.items())
    reached = (
        f"refused ({attempt.problem})"
        if attempt.value is None
        else f"validation {CHOSEN_BY} {attempt.value:.4f}"
    )
    cost = f"{attempt.seconds:.1f} s" if attempt.repeats is None else f"as try {attempt.repeats + 1}"
    return f"{reached} with {settings} ({cost})"


def study_key(session: Session, job: Job, budget: Budget) -> str:
    """What the value of a try depends on, the number of tries not being part of it."""
    space = {key: str(dimension) for key, dimension in job.space.items()}
    rules, data = session.protocol.model_dump(mode="json"), session.dataset.data_hash
    identity = [FORMAT, config_values(job), space, rules, data, budget.seed]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def write_tries(path: Path, tries: Sequence[Try]) -> None:
    """One JSON line a try; the file is written whole, so a killed run leaves every finished try."""
    lines = "".join(attempt.model_dump_json() + "\n" for attempt in tries)
    write_whole(path, lambda part: part.write_text(lines, encoding="utf-8"))


def read_tries(path: Path, space: SearchSpace) -> tuple[list[Try], str]:
    """The sound tries from the first on, and what is wrong with the rest; none when there is no file."""
    if not path.exists():
        return [], ""
    tries: list[Try] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            attempt = Try.model_validate_json(line)
        except ValidationError:
            return tries, f"line {number} is damaged"
        if attempt.settings.keys() != space.keys():
            return tries, f"line {number} belongs to another search space"
        tries.append(attempt)
    return tries, ""
