"""What the shop is for: some choices can be seen in pictures only, and others only in text or in the log."""

from __future__ import annotations

import numpy as np
import pytest

from tests.demo.shop.oracles import (
    TEXT_LEVELS,
    Neighbours,
    NextOracle,
    Pop,
    TasteOracle,
    TextOracle,
    Truth,
    hit_rates,
)
from unimp.data.dataset import Dataset
from unimp.data.splits import leave_one_out
from unimp.demo.shop.writing import write_shop
from unimp.features.item_graph import cosine_graph, ease_graph

Rates = dict[str, dict[str, float]]
BLIND = ("pop", "cosine", "ease", "next", "text")


@pytest.fixture(scope="module", params=[0, 1])
def rates(request: pytest.FixtureRequest, shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Rates:
    """Test HR@5 of every oracle and floor, by kind of user, for two seeds."""
    seed = int(request.param)
    dataset = shop if seed == 0 else write_shop(tmp_path_factory.mktemp("other") / "shop", seed=seed)
    num_items = len(dataset.catalog)
    split = leave_one_out(dataset.interactions.histories, num_items)
    truth = Truth.of(dataset)
    counts = np.bincount(split.train.item_rows, minlength=num_items).astype(np.float64)
    rankers = {
        "pop": Pop(counts),
        "cosine": Neighbours(cosine_graph(split.train, num_items)),
        "ease": Neighbours(ease_graph(split.train, num_items, l2=50.0)),
        "next": NextOracle.of(split.train, num_items),
        "text": TextOracle(truth, counts < np.quantile(counts, 0.6)),
        "cell": TasteOracle(truth, TEXT_LEVELS),
        "style": TasteOracle(truth, ("colour", "pattern")),
    }
    return {name: hit_rates(ranker, split, truth) for name, ranker in rankers.items()}


def test_picture_decided_users_can_be_served_from_pictures_only(rates: Rates) -> None:
    assert rates["style"]["picture"] >= 0.25
    for blind in BLIND:
        assert rates["style"]["picture"] >= 4 * rates[blind]["picture"], blind
        assert rates[blind]["picture"] <= 0.05, blind


def test_text_decided_users_can_be_served_from_text(rates: Rates) -> None:
    assert rates["text"]["text"] >= 0.25
    assert rates["cell"]["text"] >= 0.3
    assert rates["style"]["text"] <= 0.05


def test_habits_can_be_read_off_the_log(rates: Rates) -> None:
    assert rates["next"]["habit"] >= 0.75
    assert rates["cosine"]["habit"] >= 0.3
    assert rates["text"]["habit"] <= 0.1


def test_popularity_is_a_low_floor(rates: Rates) -> None:
    assert rates["pop"]["all"] <= 0.06
    reachable = 0.4 * rates["style"]["picture"] + 0.3 * rates["cell"]["text"] + 0.3 * rates["next"]["habit"]
    assert reachable >= 6 * rates["pop"]["all"]


def test_last_items_of_picture_decided_users_are_new_and_evenly_spread(shop: Dataset) -> None:
    num_items = len(shop.catalog)
    split = leave_one_out(shop.interactions.histories, num_items)
    truth = Truth.of(shop)
    counts = np.bincount(split.train.item_rows, minlength=num_items)
    users = split.test.histories.user_ids.tolist()
    decided = np.array([truth.users[user]["taste"] == "picture" for user in users])
    targets = split.test.target_rows[decided]
    assert np.median(counts[targets]) <= 2
    assert np.median(counts[split.train.item_rows]) >= 10
    assert np.bincount(targets).max() <= 0.02 * len(targets)
