"""The recipe that follows the data: each rule, its reason, and that an explicit key wins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.conftest import tiny_dataset, tiny_recipe, write_ring  # noqa: F401 - a fixture
from unimp.core.config import dotted
from unimp.core.errors import ConfigError
from unimp.data.dataset import Dataset
from unimp.runs import memory_needs
from unimp.runs.choosing import KEYS, DataFacts, choice_lines, choices, chosen_recipe
from unimp.runs.recipe import load_recipe
from unimp.train.training_run import train

BEAUTY = DataFacts(
    items=12_101,
    users=22_363,
    events=198_502,
    median_length=6.0,
    longest=204,
    basket_share=0.0,
    pictures=0,
    texts=3,
    rated=0.0,
    reviews=0,
    device="cpu",
)
"""The counts of Amazon Beauty (results/scale/chosen.json)."""
HM = replace(
    BEAUTY, items=3186, users=8925, events=64_804, longest=42, basket_share=0.97, pictures=3186, texts=12
)
MOVIES = replace(
    BEAUTY,
    items=3650,
    users=610,
    events=90_274,
    median_length=68.0,
    longest=2132,
    basket_share=0.16,
    pictures=3650,
    texts=5,
    rated=1.0,
)


@pytest.mark.parametrize(("facts", "tuned"), [(HM, "hm"), (BEAUTY, "beauty"), (MOVIES, "movies")])
def test_the_sets_with_tuned_recipes_get_them(facts: DataFacts, tuned: str) -> None:
    chosen, known = (
        dotted(chosen_recipe(facts).model_dump()),
        dotted(load_recipe(f"small-{tuned}").model_dump()),
    )
    assert {key for key in chosen if chosen[key] != known[key]} == {"name"}


def test_a_large_shop_gets_slim_fewer_epochs_and_fewer_validation_users() -> None:
    shop = replace(BEAUTY, items=2_000_000, events=50_000_000)
    recipe = chosen_recipe(shop)
    assert (recipe.structure.kind, recipe.structure.l2, recipe.structure.neighbours) == ("auto", 50.0, 100)
    assert (recipe.train.epochs, recipe.train.valid_users) == (3, 500)
    said = {choice.what: choice for choice in choices(shop)}
    assert (said["structure"].value, said["softmax"].value) == ("slim", "sampled")
    assert "50,000,000 events" in said["epochs"].reason


def test_a_gpu_gets_the_wide_model_and_large_batches() -> None:
    recipe = chosen_recipe(replace(BEAUTY, events=3_000_000, device="cuda"))
    assert (recipe.model.width, recipe.train.batch_positions) == (128, 8192)


def test_an_explicit_key_wins_and_the_table_says_so() -> None:
    settings = ["objective.horizon=2", "structure.kind=cosine"]
    recipe = chosen_recipe(HM, settings)
    assert (recipe.objective.horizon, recipe.objective.horizon_decay) == (2, 0.6)
    lines = {line.split()[0]: line for line in choice_lines(HM, settings)}
    assert "objective.horizon_decay = 0.6; objective.horizon = 2 (as given)" in lines["horizon"]
    assert "structure.kind = cosine (as given)" in lines["structure"]
    assert "97% of successive events" in lines["horizon"]


def test_every_choice_names_the_keys_that_it_decides() -> None:
    known = dotted(load_recipe("small").model_dump())
    for facts in (HM, BEAUTY, MOVIES, replace(BEAUTY, items=2_000_000, events=10**8, device="cuda")):
        for choice in choices(facts):
            assert set(choice.settings) <= set(KEYS[choice.what]) <= set(known)
            assert choice.reason


def test_facts_are_counted(tmp_path: Path) -> None:
    dataset = write_ring(tmp_path / "data")
    facts = DataFacts.of(dataset, torch.device("cpu"))
    lengths = dataset.interactions.histories.lengths
    assert (facts.items, facts.users, facts.events) == (20, 60, lengths.sum())
    assert (facts.median_length, facts.longest) == (np.median(lengths), lengths.max())
    assert (facts.pictures, facts.texts, facts.rated, facts.basket_share) == (19, 2, 1.0, 0.0)


def test_what_does_not_fit_is_refused_before_work_with_estimate_and_setting(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_needs, "available_memory", lambda: 100 * 2**20)
    with pytest.raises(
        ConfigError, match=r"20 items and .* need about 0\.3 GiB of memory, 0\.1 GiB are free"
    ):
        train(tiny_dataset, tiny_recipe(), tmp_path / "run", show=False)
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("UNIMP_CHECK_MEMORY", "0")
    memory_needs.check_memory(tiny_dataset, tiny_recipe(), torch.device("cpu"))


def test_the_largest_part_names_its_setting() -> None:
    def largest(items: int, *settings: str) -> str:
        needs = memory_needs.memory_needs(items, 1000, load_recipe("small", settings), torch.device("cpu"))
        return max(needs, key=lambda name: needs[name])

    assert largest(25_000) == "structure.kind"  # EASE
    assert largest(10_000_000) == "structure.neighbours"
    assert largest(10_000_000, "structure.neighbours=20", "model.width=512") == "model.width"


def test_every_further_process_holds_the_table_its_moments_and_the_events() -> None:
    recipe, device = load_recipe("small", ["objective.softmax=sampled"]), torch.device("cpu")
    one, three = (memory_needs.memory_needs(1000, 50, recipe, device, processes) for processes in (1, 3))
    assert three["model.width"] - one["model.width"] == 2 * 3 * 1000 * recipe.model.width * 4
    assert three["events"] == 3 * one["events"]
    assert {name for name in one if one[name] != three[name]} == {"model.width", "events"}


def test_where_memory_is_unknown_nothing_is_refused(
    tiny_dataset: Dataset,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_needs, "available_memory", lambda: None)
    memory_needs.check_memory(tiny_dataset, tiny_recipe(), torch.device("cpu"))
