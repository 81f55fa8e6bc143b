"""The written folder: ordinary, the same bytes for the same seed, silent about what it hides."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from unimp.core.errors import ConfigError, DataError
from unimp.data.dataset import QUERY_COLUMNS, Dataset
from unimp.demo.shop.drawing import COLOURS, PATTERNS
from unimp.demo.shop.settings import ShopConfig
from unimp.demo.shop.silhouettes import SILHOUETTES
from unimp.demo.shop.words import CHEERS, LINES, OPINIONS, PATTERN_WORDS, REASONS, sentiment_of
from unimp.demo.shop.writing import hidden_items, shop_users, write_shop

SMALL = ShopConfig(num_items=320, num_users=60, picture_size=24)
CUTS = {cut for cuts in SILHOUETTES.values() for cut in cuts}
HIDDEN_WORDS = set(COLOURS) | set(PATTERNS) | set(PATTERN_WORDS.values()) | CUTS
OTHER_VISUAL_WORDS = {
    *("stripe", "striped", "dot", "dotted", "spotted", "check", "checked", "chequered", "gingham", "solid"),
    *("patterned", "white", "grey", "gray", "brown", "violet", "navy", "scarlet", "crimson", "colour"),
    *("color", "colourful", "hood", "hoodie", "zip", "collar", "sleeve", "sleeveless", "round"),
}


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    first, again, other = (
        write_shop(tmp_path / name, SMALL, seed=seed).folder for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    names = sorted(file.name for file in first.iterdir())
    assert names == sorted(file.name for file in again.iterdir())
    assert "pictures.zip" in names
    for name in names:
        assert (first / name).read_bytes() == (again / name).read_bytes(), name
        assert (first / name).read_bytes() != (other / name).read_bytes(), name


def test_it_loads_from_wherever_the_folder_is_moved(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", SMALL)
    moved = (tmp_path / "shop").rename(tmp_path / "moved")
    shop = Dataset.load(moved, verify=True)
    assert shop.catalog.pictures is not None
    references = {reference for reference in shop.catalog.picture_references if reference}
    assert shop.catalog.pictures.names() == references


def test_an_existing_folder_is_kept_unless_told(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", SMALL)
    with pytest.raises(DataError, match="already exists"):
        write_shop(tmp_path / "shop", SMALL, seed=1)
    assert write_shop(tmp_path / "shop", SMALL, seed=1, overwrite=True).manifest.options["seed"] == 1


def test_shares_that_exceed_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="exceed 1"):
        ShopConfig.parse({"picture_share": 0.8, "text_share": 0.4}, "recipe")


def test_sizes_and_missing_values(shop: Dataset) -> None:
    config, items = ShopConfig(), shop.catalog.items
    assert len(shop.catalog) == config.num_items
    assert len(shop.interactions.histories) == config.num_users
    assert 9_000 < len(shop.interactions) < 13_000
    for column in ("brand", "description", "picture"):
        assert 0.005 < items[column].null_count() / len(items) < 0.08, column
    assert items["title"].n_unique() == len(items)


def test_text_never_names_what_only_pictures_show(shop: Dataset) -> None:
    for name, values in shop.catalog.texts.items():
        for value in values:
            assert not words_of(value or "") & (HIDDEN_WORDS | OTHER_VISUAL_WORDS), (name, value)


def test_hidden_attributes_are_independent_of_text_and_position(shop: Dataset) -> None:
    hidden = hidden_items(shop.folder)
    assert hidden["item_id"].to_list() == shop.catalog.item_ids
    style = (hidden["colour"] + hidden["pattern"]).rank("dense").to_numpy()
    assert len(np.unique(style)) == len(COLOURS) * len(PATTERNS)
    for name in ("category", "brand", "price"):
        code = shop.catalog.items[name].rank("dense").fill_null(0).to_numpy()
        assert abs(np.corrcoef(style, code)[0, 1]) < 0.12, name
    assert abs(np.corrcoef(style, np.arange(len(style)))[0, 1]) < 0.12


def test_price_follows_the_line_that_the_description_names(shop: Dataset) -> None:
    told = shop.catalog.items.with_columns(line=pl.col("description").str.extract(r"An? (\w+) line"))
    means = told.drop_nulls("line").group_by("category", "line").agg(pl.col("price").mean())
    for _, rows in means.group_by("category"):
        prices = dict(zip(rows["line"], rows["price"], strict=True))
        assert [prices[line] for line in LINES] == sorted(prices.values())


def test_times_rise_and_ratings_are_in_scale(shop: Dataset) -> None:
    histories, scale = shop.interactions.histories, shop.interactions.rating_scale
    assert scale is not None
    assert set(histories.ratings.tolist()) == set(scale.levels)
    inside = histories.owners()[1:] == histories.owners()[:-1]
    assert (np.diff(histories.times)[inside] > 0).all()
    config = ShopConfig()
    assert histories.lengths.min() == config.min_events
    assert histories.lengths.max() == config.max_events
    pairs = shop.interactions.events.select("user_id", "item_row")
    assert pairs.n_unique() == len(pairs)


def test_rating_follows_taste(shop: Dataset) -> None:
    users = shop_users(shop.folder).filter(pl.col("taste") == "picture")
    hidden = hidden_items(shop.folder).with_row_index("item_row").cast({"item_row": pl.Int64})
    events = shop.interactions.events.join(users, on="user_id").join(hidden, on="item_row", suffix="_item")
    suits = (pl.col("colour") == pl.col("colour_item")) & (pl.col("pattern") == pl.col("pattern_item"))
    means = dict(events.group_by(suits.alias("suits")).agg(pl.col("rating").mean()).iter_rows())
    assert means[True] > means[False] + 0.8


def true_words(shop: Dataset) -> list[set[str]]:
    """For every item row, the words that a review may use about it."""
    hidden = hidden_items(shop.folder)
    rows = zip(hidden.iter_rows(named=True), shop.catalog.items.iter_rows(named=True), strict=True)
    return [
        words_of(f"{item['category']} {item['brand'] or ''} {item['description'] or ' '.join(LINES)}")
        | {secret["colour"], secret["pattern"], PATTERN_WORDS[secret["pattern"]], secret["cut"]}
        for secret, item in rows
    ]


def test_reviews_name_true_attributes_and_agree_with_the_rating(shop: Dataset) -> None:
    truths = true_words(shop)
    brands = words_of(" ".join(shop.catalog.items["brand"].drop_nulls()))
    naming = HIDDEN_WORDS | brands | words_of(" ".join(LINES)) | words_of(" ".join(SILHOUETTES))
    written = shop.interactions.events.drop_nulls("review")
    assert 0.6 < len(written) / len(shop.interactions) < 0.8
    for event in written.iter_rows(named=True):
        mentioned = words_of(event["review"]) & naming
        assert mentioned, event
        assert mentioned <= truths[event["item_row"]], event
        sentiment = sentiment_of(event["rating"])
        assert event["summary"] in CHEERS[sentiment]
        assert event["review"].endswith(REASONS[sentiment])
        assert any(event["review"].startswith(opinion.split("{")[0]) for opinion in OPINIONS[sentiment])


def test_sentiments_share_no_wording() -> None:
    for phrases in (CHEERS, OPINIONS, REASONS):
        flat = [phrase for group in phrases.values() for phrase in group]
        assert len(flat) == len(set(flat))


def test_queries_precede_their_event_and_tell_the_truth(shop: Dataset) -> None:
    queries = shop.queries
    assert queries is not None
    assert dict(queries.schema) == QUERY_COLUMNS
    events = shop.interactions.events.with_columns(timestamp=pl.col("timestamp") - 1)
    assert len(queries.join(events, on=["user_id", "item_row", "timestamp"])) == len(queries)
    truths, visual = true_words(shop), 0
    for text, row in zip(queries["text"], queries["item_row"], strict=True):
        named = words_of(text) & HIDDEN_WORDS
        assert named <= truths[row], text
        visual += bool(named)
    assert 0.4 < visual / len(queries) < 0.6


def test_every_user_searched_before_the_last_two_events(shop: Dataset) -> None:
    assert shop.queries is not None
    last = shop.interactions.histories.last(2)
    searched = set(shop.queries.select("user_id", "item_row").iter_rows())
    owners = last.user_ids[last.owners()].tolist()
    assert set(zip(owners, last.item_rows.tolist(), strict=True)) <= searched
