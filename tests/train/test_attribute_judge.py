"""The picture judge on coloured squares."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute, Catalog
from unimp.features.pixels import Pixels
from unimp.tasks.image_generation.attribute_judge import AttributeJudge, JudgeConfig, targets_of, train_judge

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
SHAPES = ("square", "bar")
NUM_ITEMS = 120
QUICK = JudgeConfig(min_pictures=5, height=16, channels=(8, 16), features=12, epochs=25, batch_size=16)


def world() -> tuple[Catalog, Pixels]:
    """Colour and shape are seen, the maker is not; item 0 has no picture, 1 no colour, 2 a rare one."""
    rng = np.random.default_rng(0)
    names = list(COLOURS)
    colours: list[str | None] = [names[code] for code in rng.integers(0, 3, NUM_ITEMS)]
    shapes = [SHAPES[code] for code in rng.integers(0, 2, NUM_ITEMS)]
    values = rng.integers(200, 256, (NUM_ITEMS, 32, 24, 3)).astype(np.uint8)
    for row, (colour, shape) in enumerate(zip(colours, shapes, strict=True)):
        place = slice(8, 24), slice(6, 18) if shape == "square" else slice(10, 14)
        values[row][place] = COLOURS[colour or "red"]
    colours[1], colours[2] = None, "mauve"
    items = pl.DataFrame(
        {
            "item_id": [str(row) for row in range(NUM_ITEMS)],
            "picture": ["x"] * NUM_ITEMS,
            "colour": colours,
            "shape": shapes,
            "maker": rng.choice(["a", "b"], NUM_ITEMS).tolist(),
            "name": ["n"] * NUM_ITEMS,
            "only": ["same"] * NUM_ITEMS,
        }
    )
    kinds = [Attribute(name, "category") for name in ("colour", "shape", "maker", "only")]
    present = np.ones(NUM_ITEMS, dtype=np.bool_)
    present[0] = False
    return Catalog(items, (*kinds, Attribute("name", "text"))), Pixels(values, present, "")


@pytest.fixture(scope="module")
def judge() -> AttributeJudge:
    return train_judge(*world(), config=QUICK)


def test_it_reads_what_is_seen_and_only_that(judge: AttributeJudge) -> None:
    marks = {mark.attribute: mark for mark in judge.examinations}
    assert set(marks) == {"colour", "shape", "maker"}  # `only` has one label
    assert marks["colour"].accuracy > 0.9
    assert marks["shape"].accuracy > 0.85
    assert marks["maker"].accuracy < 0.85


def test_chance_and_what_was_left_out_are_stated(judge: AttributeJudge) -> None:
    colour = next(mark for mark in judge.examinations if mark.attribute == "colour")
    assert colour.uniform == pytest.approx(1 / 3)
    assert (colour.num_labels, colour.labels_left_out, colour.pictures_left_out) == (3, 1, 2)
    assert 0.1 < colour.most_frequent < 0.7
    assert len(judge.held_rows) == round(0.15 * (NUM_ITEMS - 1))
    assert 0 not in judge.held_rows


def test_labels_without_enough_pictures_are_unknown() -> None:
    catalog, pixels = world()
    target = targets_of(catalog, pixels, "colour", 5)
    assert target.labels == ("blue", "green", "red")
    assert target.codes[:3].tolist() == [-1, -1, -1]


def test_new_pictures_of_any_size(judge: AttributeJudge) -> None:
    drawn = np.full((2, 64, 48, 3), 230, dtype=np.uint8)
    drawn[0, 16:48, 12:36], drawn[1, 16:48, 12:36] = COLOURS["green"], COLOURS["blue"]
    assert judge.read(drawn)["colour"] == ["green", "blue"]
    features = judge.features(drawn)
    assert features.shape == (2, 12)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert judge.features(drawn[:0]).shape == (0, 12)
    assert judge.read(drawn[:0])["shape"] == []


def test_one_picture_reads_the_same_alone(judge: AttributeJudge) -> None:
    pictures = world()[1].values[:8]
    assert judge.features(pictures)[3] == pytest.approx(judge.features(pictures[3:4])[0], rel=1e-3, abs=1e-3)


def test_deterministic_by_seed() -> None:
    config = QUICK.model_copy(update={"epochs": 1})
    pictures = world()[1].values[:4]
    first, second, other = (train_judge(*world(), ["shape"], config, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.features(pictures), second.features(pictures))
    assert not np.array_equal(first.features(pictures), other.features(pictures))
    assert list(first.labels) == ["shape"]


def test_what_cannot_be_read_is_refused() -> None:
    catalog, pixels = world()
    with pytest.raises(DataError, match="not category"):
        train_judge(catalog, pixels, ["name"], QUICK)
    with pytest.raises(DataError, match="only"):
        train_judge(catalog, pixels, ["colour", "only"], QUICK)
    with pytest.raises(DataError, match="fewer than two"):
        train_judge(catalog, pixels, config=QUICK.model_copy(update={"min_pictures": 1000}))
