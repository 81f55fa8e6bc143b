import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from unimp.baselines import METHODS, MethodEntry
from unimp.baselines.baseline import TrainingData
from unimp.baselines.pop import PopConfig
from unimp.core.errors import ConfigError
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Histories
from unimp.evaluate.bench.cases import name_of
from unimp.evaluate.bench.jobs import Job, plan_jobs
from unimp.evaluate.bench.protocol import BenchmarkProtocol, held_out_items
from unimp.evaluate.bench.result import IN_HISTORY, RANK_COLUMNS, StoredResult, read_result
from unimp.evaluate.bench.runner import run_jobs
from unimp.evaluate.bench.table import build_table
from unimp.metrics.ranking import rank_cases
from unimp.testing.world import toy_world

SASREC = {"width": 8, "epochs": 2, "threads": 1, "lr": 0.01}


def stored(path: Path | None) -> StoredResult:
    assert path is not None
    found = read_result(path)
    assert isinstance(found, StoredResult), found
    return found


def only(dataset: Dataset, name: str, folder: Path, **protocol: object) -> StoredResult:
    rules = BenchmarkProtocol.parse(protocol, "test")
    (outcome,) = run_jobs(dataset, plan_jobs(METHODS, [name]), folder, protocol=rules)
    return stored(outcome.path)


def test_a_result_stands_alone(shop: Dataset, tmp_path: Path) -> None:
    found = only(shop, "itemknn-recency", tmp_path)
    result = found.result
    assert result.method == "itemknn-recency"
    assert result.config == {"neighbours": None, "shrink": 0.0, "recency": 0.6}
    assert (result.data.name, result.data.hash, result.data.items) == ("toy", shop.data_hash, 61)
    assert (result.data.test_cases, result.unscored) == (200, 0)
    assert result.environment.versions["numpy"] == np.__version__
    assert result.environment.device.startswith("cpu")
    assert result.peak_memory_mib > 10
    assert set(result.metrics) == {f"{name}@{k}" for name in ("HR", "NDCG", "MRR") for k in (3, 5, 10)}


def test_ranks_are_those_of_the_method(shop: Dataset, tmp_path: Path) -> None:
    world, found = toy_world(), only(shop, "itemknn", tmp_path)
    method = METHODS["itemknn"].make()
    method.fit(world.training, seed=0)
    np.testing.assert_array_equal(found.rank_values(), rank_cases(method, world.split.test))
    assert dict(found.ranks.schema) == RANK_COLUMNS | IN_HISTORY
    assert found.ranks["user_id"].to_list() == world.split.test.histories.user_ids.tolist()
    assert found.ranks["item_id"].to_list() == [f"item{row:02}" for row in world.split.test.target_rows]
    assert found.ranks["history_length"].to_list() == world.split.test.histories.lengths.tolist()
    counts = np.bincount(world.split.train.item_rows, minlength=61)
    assert found.ranks["item_events"].to_list() == counts[world.split.test.target_rows].tolist()


def test_ids_can_be_left_out_and_the_results_still_compare(shop: Dataset, tmp_path: Path) -> None:
    (named,) = run_jobs(shop, plan_jobs(METHODS, ["pop"]), tmp_path)
    (bare,) = run_jobs(shop, plan_jobs(METHODS, ["itemknn"]), tmp_path, with_ids=False)
    ranks = stored(bare.path).ranks
    assert ranks["user_id"].null_count() == ranks["item_id"].null_count() == 200
    assert b"user1" in named.path.with_suffix(".parquet").read_bytes()
    assert b"user1" not in bare.path.with_suffix(".parquet").read_bytes()
    assert len(build_table(tmp_path).rows) == 2


def test_what_is_finished_is_not_done_again(shop: Dataset, tmp_path: Path) -> None:
    jobs = plan_jobs(METHODS, ["pop", "itemknn"])
    first = run_jobs(shop, jobs[:1], tmp_path)
    stamp = first[0].path.stat().st_mtime_ns
    again = run_jobs(shop, jobs, tmp_path)
    assert [outcome.done_before for outcome in again] == [True, False]
    assert first[0].path.stat().st_mtime_ns == stamp


def test_a_killed_run_resumes_with_the_same_result(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = plan_jobs(METHODS, ["pop", "sasrec"], seeds=(0, 1), overrides={"sasrec": SASREC})
    assert [job.seed for job in jobs] == [0, 0, 1]
    whole = run_jobs(shop, jobs, tmp_path / "whole")

    def killed(path: Path, ranks: pl.DataFrame) -> str:
        raise KeyboardInterrupt

    run_jobs(shop, jobs[:2], tmp_path / "killed")
    with monkeypatch.context() as patch:
        patch.setattr("unimp.evaluate.bench.runner.write_ranks", killed)
        with pytest.raises(KeyboardInterrupt):
            run_jobs(shop, jobs, tmp_path / "killed")
    assert len(list((tmp_path / "killed").glob("*"))) == 4
    resumed = run_jobs(shop, jobs, tmp_path / "killed")
    assert [outcome.done_before for outcome in resumed] == [True, True, False]
    for one, other in zip(whole, resumed, strict=True):
        assert stored(one.path).result.metrics == stored(other.path).result.metrics
        assert stored(one.path).ranks.equals(stored(other.path).ranks)


def test_a_damaged_result_is_done_again(shop: Dataset, tmp_path: Path) -> None:
    jobs, said = plan_jobs(METHODS, ["pop"]), []
    (outcome,) = run_jobs(shop, jobs, tmp_path)
    outcome.path.write_text("{")
    (again,) = run_jobs(shop, jobs, tmp_path, say=said.append)
    assert not again.done_before
    assert "damaged; done again" in said[0]
    assert stored(again.path)


def test_history_can_stay_in_the_ranking(shop: Dataset, tmp_path: Path) -> None:
    masked = only(shop, "itemknn", tmp_path)
    kept = only(shop, "itemknn", tmp_path, exclude_history=False)
    assert kept.path != masked.path
    assert (kept.rank_values() >= masked.rank_values()).all()
    assert kept.result.metrics["HR@5"] < masked.result.metrics["HR@5"]


def test_new_domain_holds_items_out(shop: Dataset, tmp_path: Path) -> None:
    found = only(shop, "pop", tmp_path, split="new-domain", hold_out="kind=red|blue")
    assert (found.ranks["item_events"] == 0).all()
    assert found.result.data.train_users == 132


def test_a_new_domain_can_be_ranked_by_itself(shop: Dataset, tmp_path: Path) -> None:
    rules = {"split": "new-domain", "hold_out": "kind=red|blue"}
    everything = only(shop, "pop", tmp_path, **rules)
    alone = only(shop, "pop", tmp_path, **rules, candidates="held-out")
    assert alone.path != everything.path
    held = held_out_items(shop.catalog, "kind=red|blue").sum()
    left = held - alone.ranks["history_length"].to_numpy()  # what is masked is not ranked
    assert alone.rank_values() == pytest.approx((1 + left) / 2)  # popularity knows none: all tied
    assert (everything.rank_values() > alone.rank_values()).all()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"split": "new-users", "candidates": "held-out"}, "only new-domain has held-out"),
        ({"split": "new-domain"}, "names the items it holds out"),
        ({"split": "temporal", "hold_out": "kind=red"}, "only new-domain"),
        ({"split": "new-domain", "hold_out": "kin=red"}, 'did you mean "kind"'),
        ({"split": "new-domain", "hold_out": "kind=purple"}, "no item has such a value"),
    ],
)
def test_wrong_rules_are_named(shop: Dataset, tmp_path: Path, rules: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_jobs(shop, [], tmp_path, protocol=BenchmarkProtocol.parse(rules, "test"))


def test_held_out_items_by_number_text() -> None:
    assert held_out_items(toy_world().catalog, "price=1|2").sum() == 13


@pytest.mark.parametrize("split", ["new-users", "temporal"])
def test_other_splits(shop: Dataset, tmp_path: Path, split: str) -> None:
    found = only(shop, "itemknn", tmp_path, split=split)
    assert found.result.protocol.split == split
    assert found.result.metrics["HR@5"] > 0.1


class Refuses:
    """A method that cannot do this job."""

    config_class = PopConfig

    def __init__(self, config: PopConfig) -> None: ...

    def fit(self, data: TrainingData, *, seed: int, show_progress: bool = False) -> None:
        assert not hasattr(data, "test")
        raise ConfigError("refuses: too many items")

    def score(self, histories: Histories) -> FloatArray:
        raise AssertionError


class Silent(Refuses):
    """A method that scores nobody."""

    def fit(self, data: TrainingData, *, seed: int, show_progress: bool = False) -> None: ...

    def score(self, histories: Histories) -> FloatArray:
        return np.full((len(histories), 61), np.nan, dtype=np.float32)


KINDS = {"Refuses": Refuses, "Silent": Silent}


def job(kind: type[Refuses]) -> Job:
    entry = MethodEntry(f"{__name__}:{kind.__name__}", kind.__name__, "")
    return Job(kind.__name__.lower(), entry, PopConfig(), 0)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MethodEntry, "load", lambda entry: KINDS[entry.title])


@pytest.mark.usefixtures("importable")
def test_a_method_that_fails_does_not_stop_the_others(shop: Dataset, tmp_path: Path) -> None:
    refused, silent = run_jobs(shop, [job(Refuses), job(Silent)], tmp_path)
    assert refused.path is None
    assert refused.problem == "refuses: too many items"
    assert stored(silent.path).result.unscored == 200
    assert stored(silent.path).ranks["rank"].null_count() == 200
    assert set(json.loads(silent.path.read_text())["metrics"].values()) == {None}


def test_overrides_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"expected METHOD\.KEY=VALUE"):
        plan_jobs(METHODS, ["pop"], overrides={"ease": {"l2": 1.0}})
    with pytest.raises(ConfigError, match="--set ease: unknown key 'l3'"):
        plan_jobs(METHODS, ["ease"], overrides={"ease": {"l3": 1.0}})
    with pytest.raises(ConfigError, match="unknown method 'eas'"):
        plan_jobs(METHODS, ["eas"])


def test_a_method_named_twice_is_run_once() -> None:
    assert len(plan_jobs(METHODS, ["pop", "pop"])) == 1


def test_data_go_by_a_name_that_says_something() -> None:
    assert name_of(Path("/shop/hm")) == "hm"
    assert name_of(Path("/shop/hm/data")) == "hm"
    assert name_of(Path("/data")) == "data"
