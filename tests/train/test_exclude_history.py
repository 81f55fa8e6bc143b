"""Whether a user's own items are ranked is one setting of a run: validation, evaluation and answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.train.conftest import tiny_recipe
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import Cases, Histories
from unimp.data.interactions import COLUMNS, Interactions
from unimp.evaluate.evaluation import evaluate_run
from unimp.personalizer import Personalizer
from unimp.runs.folder import RESULT
from unimp.runs.open_run import open_run
from unimp.train.preparation import masks_history
from unimp.train.training_run import train


def cases(repeats: int, of: int = 20) -> Cases:
    """`of` cases whose history is item 0; so many have it as their target."""
    targets = np.array([0] * repeats + [1] * (of - repeats))
    return Cases(Histories.from_lists([[0]] * of), targets, np.full(of, -1))


@pytest.mark.parametrize(("repeats", "masked"), [(0, True), (1, True), (2, False), (20, False)])
def test_the_data_decide(repeats: int, masked: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert masks_history(tiny_recipe(), cases(repeats), show=True) is masked
    said = capsys.readouterr().err
    assert ("stay in the rankings, here, in evaluation and in answers" in said) is not masked
    assert (f"{repeats} of 20 validation targets are in the user's own history" in said) is bool(repeats)


def test_the_recipe_decides_where_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny_recipe().model_copy(update={"exclude_history": True})
    assert masks_history(recipe, cases(20), show=True)
    assert (
        "certain misses while it is masked; `--set exclude_history=false` keeps it" in capsys.readouterr().err
    )
    assert not masks_history(recipe.model_copy(update={"exclude_history": False}), cases(0))


@pytest.fixture(scope="module")
def staples(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """24 users with two staples each, bought in turn; every fourth ends with an item that they never had."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(24):
        first, second, new = rng.permutation(12)[:3].tolist()
        past = [first, second] * 3 + [new if user % 4 == 0 else first]
        rows += [{"user_id": f"u{user:02}", "item_row": item} for item in past]
    events = pl.DataFrame(rows).with_columns(
        pl.lit(None).cast(kind).alias(name) if name not in rows[0] else pl.col(name).cast(kind)
        for name, kind in COLUMNS.items()
    )
    items = pl.DataFrame(
        {"item_id": [f"i{row}" for row in range(12)], "picture": pl.Series([None] * 12, dtype=pl.String)}
    )
    folder = tmp_path_factory.mktemp("staples") / "data"
    return Dataset.write(
        folder, Catalog(items, ()), Interactions(events.select(list(COLUMNS))), source="test"
    )


@pytest.fixture(scope="module")
def run_folder(staples: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    recipe = tiny_recipe(train={"epochs": 3}, content={"text": 0}, vision={"enabled": False})
    train(staples, recipe, folder, show=False)
    return folder


def test_one_choice_for_validation_evaluation_and_answers(run_folder: Path) -> None:
    assert json.loads((run_folder / RESULT).read_text())["exclude_history"] is False
    run = open_run(run_folder)
    assert json.loads((run_folder / RESULT).read_text())["valid"]["score"] > 0  # masked, it would be 0
    usual = evaluate_run(run, show=False)
    assert usual["protocol"]["exclude_history"] is False
    kept = evaluate_run(run, show=False, exclude_history=False)
    assert usual["tasks"] == kept["tasks"]
    masked = evaluate_run(run, show=False, exclude_history=True)
    assert masked["tasks"]["recommendation"]["metrics"]["HR@10"] <= 6 / 24
    assert masked["notes"][0].startswith("18 of 24 test targets are in the user's own history: certain")
    personalizer = Personalizer(run, run.answerer)
    both = [item.item_id for item in personalizer.recommend(user="u00", k=12).items]
    assert len(both) == 12
    new = personalizer.recommend(user="u00", k=12, exclude_history=True)
    assert not {item.item_id for item in new.items} & set(new.history)


def test_repeated_and_new_targets_are_judged_apart(run_folder: Path) -> None:
    section = evaluate_run(open_run(run_folder), show=False)["tasks"]["recommendation"]
    repeat, explore = section["repeat"], section["explore"]
    assert (repeat["cases"], explore["cases"]) == (18, 6)
    for name, value in section["metrics"].items():
        assert (18 * repeat["metrics"][name] + 6 * explore["metrics"][name]) / 24 == pytest.approx(value)
    masked = evaluate_run(open_run(run_folder), show=False, exclude_history=True)
    assert "repeat" not in masked["tasks"]["recommendation"]


def test_runs_of_before_mask(run_folder: Path) -> None:
    run = open_run(run_folder)
    del run.result["exclude_history"]
    assert run.exclude_history
