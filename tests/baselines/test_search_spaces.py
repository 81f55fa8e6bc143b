"""What tuning may try: every key exists, both ends are allowed, and the published setting is inside."""

import pytest

from unimp.baselines import METHODS
from unimp.cli.bench import all_methods
from unimp.core.config import Config, merge, nest
from unimp.core.search_space import Choice, Dimension, Real, Whole

TUNABLE = [name for name in all_methods() if name not in {"pop", "features"}]


def ends(dimension: Dimension) -> tuple[object, ...]:
    return dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)


@pytest.mark.parametrize("name", TUNABLE)
def test_two_to_five_settings_may_vary(name: str) -> None:
    assert 2 <= len(all_methods()[name].search_space()) <= 5


@pytest.mark.parametrize("name", TUNABLE)
def test_every_end_is_a_setting_the_method_takes(name: str) -> None:
    entry = all_methods()[name]
    for key, dimension in entry.search_space().items():
        for value in ends(dimension):
            config = entry.config(merge(entry.settings, nest(key, value)))
            assert config.value_at(key) == value
            entry.load()(config)


@pytest.mark.parametrize("name", TUNABLE)
def test_the_first_try_is_inside(name: str) -> None:
    entry = all_methods()[name]
    for key, dimension in entry.search_space().items():
        assert dimension.holds(entry.config().value_at(key)), f"{key}: {entry.config().value_at(key)}"


def test_what_makes_a_method_what_it_is_stays() -> None:
    assert "recency" not in METHODS["itemknn"].search_space()
    assert "recency" in METHODS["itemknn-recency"].search_space()
    assert METHODS["pop"].search_space() == {}


def test_tried_numbers_have_few_digits_and_stay_inside() -> None:
    assert Real(1e-4, 1e-1, log=True).settle(0.00123456) == 0.00123
    assert Real(0.12345, 1.0).settle(0.123454) == 0.12345
    assert Whole(1, 4).settle(3) == 3


def test_a_config_without_a_space_cannot_be_tuned() -> None:
    assert Config.search_space == {}
