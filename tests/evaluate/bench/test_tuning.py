"""Tuning: the setting it came with first, one budget for all, resumable to the letter, blind to the test."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from unimp.baselines import METHODS, MethodEntry
from unimp.baselines.baseline import TrainingData
from unimp.core.config import Config
from unimp.core.errors import ConfigError
from unimp.core.search_space import Choice, Dimension, Real, SearchSpace
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Histories
from unimp.evaluate.bench.jobs import Job, plan_jobs
from unimp.evaluate.bench.present import as_document, as_text
from unimp.evaluate.bench.report import render
from unimp.evaluate.bench.result import StoredResult, read_result
from unimp.evaluate.bench.runner import run_jobs
from unimp.evaluate.bench.table import build_table
from unimp.evaluate.bench.tries import Budget, Try, Tuning, best_try
from unimp.evaluate.bench.tuning import propose
from unimp.metrics.ranking import rank_cases, ranking_metrics
from unimp.testing.world import CLUSTER_SIZE, NUM_CLUSTERS, toy_world


def tuned(
    shop: Dataset, folder: Path, trials: int, method: str = "itemknn-recency", **settings: Any
) -> StoredResult:
    jobs = plan_jobs(METHODS, [method], overrides={method: settings} if settings else None)
    (outcome,) = run_jobs(shop, jobs, folder, budget=Budget(trials=trials))
    assert outcome.path is not None, outcome.problem
    found = read_result(outcome.path)
    assert isinstance(found, StoredResult), found
    return found


def tuning_of(stored: StoredResult) -> Tuning:
    assert stored.result.tuning is not None
    return stored.result.tuning


def without_seconds(tuning: Tuning) -> list[Try]:
    return [one.model_copy(update={"seconds": 0.0}) for one in tuning.tries]


def test_the_setting_it_came_with_is_tried_first_and_the_best_on_validation_wins(
    shop: Dataset, tmp_path: Path
) -> None:
    found, world = tuned(shop, tmp_path, 8), toy_world()
    tuning = tuning_of(found)
    assert tuning.tries[0].settings == {"neighbours": None, "shrink": 0.0, "recency": 0.6}
    assert len(tuning.tries) == tuning.budget.trials == 8
    assert tuning.tries[tuning.winner].value == max(one.value or 0.0 for one in tuning.tries)
    assert found.result.config == tuning.tries[tuning.winner].settings
    for one in tuning.tries:
        method = METHODS["itemknn"].make(one.settings)
        method.fit(world.training, seed=0)
        expected = ranking_metrics(rank_cases(method, world.split.valid), (5,))["NDCG@5"]
        assert one.value == pytest.approx(expected)


def test_a_killed_run_goes_on_and_ends_like_an_uninterrupted_one(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tuned(shop, tmp_path / "whole", 9)
    written: list[Path] = []

    def killed(path: Path, tries: object, keep: Any = None) -> None:
        from unimp.core.files import write_whole

        lines = "".join(one.model_dump_json() + "\n" for one in tries)  # type: ignore[attr-defined]
        write_whole(path, lambda part: part.write_text(lines))
        written.append(path)
        if len(written) == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("unimp.evaluate.bench.tuning.write_tries", killed)
        with pytest.raises(KeyboardInterrupt):
            tuned(shop, tmp_path / "killed", 9)
    assert len(written[0].read_text().splitlines()) == 6
    resumed = tuned(shop, tmp_path / "killed", 9)
    assert without_seconds(tuning_of(resumed)) == without_seconds(tuning_of(whole))
    assert resumed.path.name == whole.path.name
    assert resumed.ranks.equals(whole.ranks)


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(shop: Dataset, tmp_path: Path) -> None:
    small, large = tuned(shop, tmp_path, 4), tuned(shop, tmp_path, 7)
    assert tuning_of(large).tries[:4] == tuning_of(small).tries
    assert small.path != large.path
    again = tuned(shop, tmp_path, 4)
    assert tuning_of(again) == tuning_of(small)


def test_what_is_finished_is_not_tuned_again(shop: Dataset, tmp_path: Path) -> None:
    first = tuned(shop, tmp_path, 3)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert tuned(shop, tmp_path, 3).path == first.path
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stamps


def test_a_damaged_line_is_named_and_tuning_goes_on_before_it(shop: Dataset, tmp_path: Path) -> None:
    whole, said = tuned(shop, tmp_path, 5), []
    (path,) = tmp_path.glob("*.trials.jsonl")
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + '\n{"settings": ')
    jobs = plan_jobs(METHODS, ["itemknn-recency"])
    run_jobs(shop, jobs, tmp_path, budget=Budget(trials=5), say=said.append)
    assert said[0] == f"{path.name}: line 4 is damaged; tuning goes on after try 3"
    again = [Try.model_validate_json(line) for line in path.read_text().splitlines()]
    assert [one.value for one in again] == [one.value for one in tuning_of(whole).tries]


def test_what_is_set_by_hand_is_not_tuned(shop: Dataset, tmp_path: Path) -> None:
    found = tuned(shop, tmp_path, 4, recency=0.5)
    assert set(tuning_of(found).space) == {"neighbours", "shrink"}
    assert found.result.config["recency"] == 0.5


def test_a_method_without_a_space_is_run_as_it_is_and_says_so(shop: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    jobs = plan_jobs(METHODS, ["pop"])
    (outcome,) = run_jobs(shop, jobs, tmp_path, budget=Budget(trials=4), say=said.append)
    assert said[0] == "pop: has no search space; it is run as it is"
    assert outcome.path is not None
    assert not list(tmp_path.glob("*.jsonl"))


def test_one_tuning_serves_all_seeds(shop: Dataset, tmp_path: Path) -> None:
    quick = {"sasrec": {"epochs": 1, "threads": 1, "width": 8, "layers": 1}}
    jobs = plan_jobs(METHODS, ["sasrec"], seeds=(0, 1), overrides=quick)
    outcomes = run_jobs(shop, jobs, tmp_path, budget=Budget(trials=2))
    stored = [read_result(outcome.path) for outcome in outcomes if outcome.path]
    first, second = (entry.result for entry in stored if isinstance(entry, StoredResult))
    assert (first.seed, second.seed) == (0, 1)
    assert first.config == second.config
    assert first.tuning == second.tuning
    assert len(list(tmp_path.glob("*.trials.jsonl"))) == 1
    (row,) = build_table(tmp_path).rows
    assert len(row.results) == 2


class ProbeConfig(Config):
    height: float = 0.5
    """Where the method stands; best at 1."""
    sulks: bool = False
    """Refuse to learn."""

    search_space: ClassVar[SearchSpace] = {"height": Real(0.0, 1.0), "sulks": Choice((False, True))}


class Probe:
    """Ranks every target of validation by its height; keeps count of what it was given."""

    config_class = ProbeConfig
    fits: ClassVar[list[TrainingData]] = []

    def __init__(self, config: ProbeConfig) -> None:
        self.config = config

    def fit(self, data: TrainingData, *, seed: int, show_progress: bool = False) -> None:
        assert not hasattr(data, "test")
        self.fits.append(data)
        if self.config.sulks:
            raise ConfigError("probe: sulks")
        self.popularity = np.bincount(data.train.item_rows, minlength=data.num_items)

    def score(self, histories: Histories) -> FloatArray:
        scores = np.tile(self.popularity.astype(np.float32), (len(histories), 1))
        scores[histories.owners(), histories.item_rows] = -1.0
        silent = np.arange(len(histories)) / len(histories) >= self.config.height
        scores[silent] = np.nan
        return scores


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> MethodEntry:
    monkeypatch.setattr(Probe, "fits", [])
    monkeypatch.setattr(MethodEntry, "load", lambda entry: Probe)
    return MethodEntry("tests:Probe", "Probe", "")


def probe_job(entry: MethodEntry, space: dict[str, Dimension] | None = None, **settings: Any) -> Job:
    return Job("probe", entry, ProbeConfig(**settings), 0, space or dict(ProbeConfig.search_space))


def test_silence_earns_nothing_and_refusals_are_kept(
    shop: Dataset, tmp_path: Path, probe: MethodEntry
) -> None:
    (outcome,) = run_jobs(shop, [probe_job(probe)], tmp_path, budget=Budget(trials=12))
    stored = read_result(outcome.path)  # type: ignore[arg-type]
    assert isinstance(stored, StoredResult)
    tuning = tuning_of(stored)
    refused = [one for one in tuning.tries if one.value is None]
    assert refused
    assert {one.problem for one in refused} == {"probe: sulks"}
    heard = sorted(
        (one.settings["height"], one.value or 0.0) for one in tuning.tries if one.value is not None
    )
    assert [value for _, value in heard] == sorted(value for _, value in heard)
    assert len(heard) > 2


def test_a_method_that_refuses_its_own_setting_fails_at_once(
    shop: Dataset, tmp_path: Path, probe: MethodEntry
) -> None:
    (outcome,) = run_jobs(shop, [probe_job(probe, sulks=True)], tmp_path, budget=Budget(trials=5))
    assert (outcome.path, outcome.problem) == (None, "probe: sulks")
    assert len(Probe.fits) == 1
    assert not list(tmp_path.glob("*"))


def test_the_same_settings_are_not_learnt_twice(shop: Dataset, tmp_path: Path, probe: MethodEntry) -> None:
    space: dict[str, Dimension] = {"height": Choice((0.5, 1.0))}
    run_jobs(shop, [probe_job(probe, space)], tmp_path, budget=Budget(trials=8))
    assert len(Probe.fits) == 2  # two settings; the winner goes to the test as it is
    (path,) = tmp_path.glob("*.trials.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 8
    assert sum(line["repeats"] is None for line in lines) == 2


def test_the_minutes_end_a_study_too(shop: Dataset, tmp_path: Path, probe: MethodEntry) -> None:
    (outcome,) = run_jobs(shop, [probe_job(probe)], tmp_path, budget=Budget(trials=50, minutes=1e-9))
    stored = read_result(outcome.path)  # type: ignore[arg-type]
    assert isinstance(stored, StoredResult)
    assert len(tuning_of(stored).tries) == 1
    assert "50 trials or 1e-09 processor minutes" in as_text(build_table(tmp_path))


def test_tuning_never_depends_on_the_test(shop: Dataset, tmp_path: Path) -> None:
    """Other test targets, and every try stays what it was."""
    world = toy_world()
    ends = world.interactions.histories.offsets[1:] - 1
    rows = world.interactions.events["item_row"].to_numpy().copy()
    rows[ends] = (rows[ends] + CLUSTER_SIZE) % (NUM_CLUSTERS * CLUSTER_SIZE)  # an item nobody else would get
    other = replace(
        world.interactions, events=world.interactions.events.with_columns(item_row=pl.Series(rows))
    )
    changed = Dataset.write(tmp_path / "changed", world.catalog, other, source="toy")
    one, two = tuned(shop, tmp_path / "a", 6), tuned(changed, tmp_path / "b", 6)
    assert without_seconds(tuning_of(one)) == without_seconds(tuning_of(two))
    assert one.result.metrics != two.result.metrics


def test_proposals_follow_from_seed_and_tries_alone(probe: MethodEntry) -> None:
    job = probe_job(probe)
    tries = [
        Try(settings={"height": h, "sulks": False}, value=h, seconds=1.0) for h in (0.5, 0.1, 0.9, 0.3, 0.8)
    ]
    assert propose(job, tries, seed=0) == propose(job, tries, seed=0)
    assert propose(job, tries, seed=0) != propose(job, tries, seed=1)
    later = [propose(job, tries, seed)["height"] for seed in range(20)]
    assert np.mean(later) > 0.6  # drawn towards what was good


def test_a_first_try_outside_of_the_space_is_kept_from_the_sampler(probe: MethodEntry) -> None:
    job = probe_job(probe, height=3.0)
    tries = [Try(settings=propose(job, [], 0), value=0.9, seconds=1.0)]
    assert tries[0].settings["height"] == 3.0
    assert 0.0 <= propose(job, tries, 0)["height"] <= 1.0


def test_the_earliest_of_equals_wins() -> None:
    values = (0.1, None, 0.3, 0.3)
    assert best_try([Try(settings={}, value=value, seconds=0.0) for value in values]) == 2


def test_a_winner_that_did_not_win_is_left_out(shop: Dataset, tmp_path: Path) -> None:
    path = tuned(shop, tmp_path, 4).path
    document = json.loads(path.read_text())
    document["tuning"]["winner"] = (document["tuning"]["winner"] + 1) % 4
    path.write_text(json.dumps(document))
    run_jobs(shop, plan_jobs(METHODS, ["pop"]), tmp_path)
    (rejected,) = build_table(tmp_path).rejected
    assert rejected.reason == "its winner is not the best of its tries"


def test_the_table_says_the_budget(shop: Dataset, tmp_path: Path) -> None:
    tuned(shop, tmp_path, 3)
    table = build_table(tmp_path)
    assert "tuning: 3 trials each, chosen by validation NDCG@5" in as_text(table)
    assert as_document(table)["rows"][0]["tuning"]["budget"]["trials"] == 3
    assert "Tuning, on validation" in render(table)
    run_jobs(shop, plan_jobs(METHODS, ["pop"]), tmp_path)
    assert "tuning: 3 trials each" in as_text(build_table(tmp_path))  # Pop has nothing to set
    run_jobs(shop, plan_jobs(METHODS, ["itemknn"]), tmp_path)
    text = as_text(build_table(tmp_path))
    assert "tuning budgets differ" in text
    assert "not tuned: ItemKNN" in text


def test_missing_content_is_named(shop: Dataset, tmp_path: Path) -> None:
    (outcome,) = run_jobs(shop, plan_jobs(METHODS, ["vbpr"]), tmp_path, budget=Budget(trials=3))
    assert "vbpr" in outcome.job.method
    assert "VBPR: needs image features" in outcome.problem
