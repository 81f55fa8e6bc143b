"""Users, the taste each of them follows, and the events that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from unimp.data.histories import IntArray
from unimp.demo.shop.drawing import COLOURS, PATTERNS
from unimp.demo.shop.settings import ShopConfig
from unimp.demo.shop.stock import CATEGORIES, Assortment
from unimp.demo.shop.words import BRANDS, LINES

Taste = Literal["picture", "text", "habit"]
Mask = npt.NDArray[np.bool_]

LAUNCHED = 2
"""The last events of every user happen after the launch of the new season."""
FIRST_DAY = 1_704_067_200
"""2024-01-01 00:00 UTC."""
DAY = 86_400
CYCLE_LENGTH = 18
"""Items of a brand's fixed sequence: longer than a history, so that nobody comes round again."""


@dataclass(frozen=True)
class ShopUser:
    """One user; codes are None where the taste does not use them."""

    user_id: str
    taste: Taste
    colour: int | None = None
    pattern: int | None = None
    category: int | None = None
    brand: int | None = None
    line: int | None = None
    bias: float = 0.0
    """Added to every rating the user gives."""


@dataclass(frozen=True)
class ShopEvent:
    """One purchase. `suits`, between 0 and 1, is how well the item fits the user's taste."""

    user: int
    item: int
    timestamp: int
    suits: float


@dataclass(frozen=True)
class Complements:
    """Which item goes with which: each brand's core items in one closed sequence through the categories."""

    following: IntArray
    """[num_items] the item that habit buys next; -1 for items outside every sequence."""


def make_complements(stock: Assortment, rng: np.random.Generator) -> Complements:
    following = np.full(len(stock), -1, dtype=np.int64)
    for brand in range(len(BRANDS)):
        shelves = [
            rng.permutation(np.flatnonzero(stock.core & (stock.brand == brand) & (stock.category == code)))
            for code in range(len(CATEGORIES))
        ]
        depth = max(len(shelf) for shelf in shelves)
        cycle = [shelf[level] for level in range(depth) for shelf in shelves if level < len(shelf)]
        cycle = cycle[:CYCLE_LENGTH]
        following[cycle] = np.roll(cycle, -1)
    return Complements(following)


def make_users(config: ShopConfig, rng: np.random.Generator) -> list[ShopUser]:
    """Users in random order; styles, cells and lines are spread evenly over those who follow them."""
    pictures, texts = (
        round(config.num_users * config.picture_share),
        round(config.num_users * config.text_share),
    )
    users: list[ShopUser] = []
    for turn, position in enumerate(rng.permutation(config.num_users)):
        user_id, bias = f"U{position:05d}", float(rng.normal(0.0, 0.4))
        if turn < pictures:
            colour, pattern = divmod(turn % (len(COLOURS) * len(PATTERNS)), len(PATTERNS))
            users.append(ShopUser(user_id, "picture", colour, pattern, bias=bias))
        elif turn < pictures + texts:
            cell, line = divmod(turn % ((len(CATEGORIES) + len(BRANDS)) * len(LINES)), len(LINES))
            in_brands = cell >= len(CATEGORIES)
            category = None if in_brands else cell
            brand = cell - len(CATEGORIES) if in_brands else None
            users.append(ShopUser(user_id, "text", None, None, category, brand, line, bias))
        else:
            users.append(ShopUser(user_id, "habit", bias=bias))
    return sorted(users, key=lambda user: user.user_id)


def suiting(user: ShopUser, stock: Assortment) -> npt.NDArray[np.float64]:
    """[num_items] 1 where an item is of the user's exact taste, 0.5 where it is half so, else 0."""
    if user.taste == "picture":
        first, second = stock.colour == user.colour, stock.pattern == user.pattern
    elif user.taste == "text":
        first = stock.category == user.category if user.category is not None else stock.brand == user.brand
        second = stock.line == user.line
    else:
        return np.full(len(stock), 0.4)
    return np.where(first & second, 1.0, np.where(first, 0.5, 0.0))


def draw(allowed: Mask, weights: npt.NDArray[np.float64], rng: np.random.Generator) -> int:
    """One of the allowed items, in proportion to `weights`; -1 when none is allowed."""
    rows = np.flatnonzero(allowed)
    if not len(rows):
        return -1
    total = np.cumsum(weights[rows])
    return int(rows[min(np.searchsorted(total, rng.random() * total[-1], side="right"), len(rows) - 1)])


@dataclass(frozen=True)
class Shopper:
    """A user on the way through the shop: chooses the next item given those bought before."""

    user: ShopUser
    stock: Assortment
    complements: Complements
    suits: npt.NDArray[np.float64]
    noise: float

    def choose(self, bought: list[int], day: float, launched: bool, rng: np.random.Generator) -> ShopEvent:
        """The next item; its timestamp and owner are filled in by the caller's clock."""
        fresh = np.ones(len(self.stock), dtype=np.bool_)
        fresh[bought] = False
        here = fresh & (self.stock.arrives <= day)
        item, suits = -1, 0.0
        if self.user.taste == "habit":
            item, suits = self.follow_habit(bought, fresh, rng)
        elif rng.random() >= self.noise:
            item = self.follow_taste(fresh, here, launched, rng)
        if item < 0:
            item = draw(here, self.stock.popularity, rng)
        return ShopEvent(-1, item, 0, max(suits, float(self.suits[item])))

    def follow_habit(self, bought: list[int], fresh: Mask, rng: np.random.Generator) -> tuple[int, float]:
        """What goes with the last item; with chance `noise` the start of another sequence."""
        following = self.complements.following
        after = int(following[bought[-1]]) if bought else -1
        if after >= 0 and fresh[after] and rng.random() >= self.noise:
            return after, 1.0
        return draw(fresh & (following >= 0), self.stock.popularity, rng), 0.4

    def follow_taste(self, fresh: Mask, here: Mask, launched: bool, rng: np.random.Generator) -> int:
        """An item of exactly the user's taste, or of half of it when all those are bought.

        Who chooses by pictures waits for the launch and then takes arrivals alone, each equally often: ids
        and co-occurrence have seen next to nothing of them. Who chooses by text also meets the previews.
        """
        stock = self.stock
        if self.user.taste == "text":
            shelf, weights = here, np.sqrt(stock.popularity)
        else:
            shelf, weights = fresh & (~stock.core if launched else stock.core), np.ones(len(stock))
        for fit in (1.0, 0.5):
            item = draw(shelf & (self.suits >= fit), weights, rng)
            if item >= 0:
                return item
        return -1


def event_times(length: int, config: ShopConfig, rng: np.random.Generator) -> IntArray:
    """[length] rising UTC seconds: the last LAUNCHED of them in the new season, the others before it."""
    old, new = config.old_days * DAY, config.new_days * DAY
    before = np.sort(rng.choice(old, size=length - LAUNCHED, replace=False))
    after = np.sort(rng.choice(new, size=LAUNCHED, replace=False)) + old
    return np.asarray(FIRST_DAY + np.concatenate([before, after]), dtype=np.int64)


def make_events(
    stock: Assortment, users: list[ShopUser], config: ShopConfig, rng: np.random.Generator
) -> list[ShopEvent]:
    """All events, user after user, each in time order."""
    complements = make_complements(stock, rng)
    events: list[ShopEvent] = []
    for position, user in enumerate(users):
        shopper = Shopper(user, stock, complements, suiting(user, stock), config.noise)
        length = int(rng.integers(config.min_events, config.max_events + 1))
        bought: list[int] = []
        for turn, timestamp in enumerate(event_times(length, config, rng)):
            day = (int(timestamp) - FIRST_DAY) / DAY
            event = shopper.choose(bought, day, turn >= length - LAUNCHED, rng)
            bought.append(event.item)
            events.append(ShopEvent(position, event.item, int(timestamp), event.suits))
    return events


def user_table(users: list[ShopUser]) -> pl.DataFrame:
    """user_id, taste, and the preferred colour, pattern, category, brand, line; null where not used."""
    levels = {
        "colour": tuple(COLOURS), "pattern": PATTERNS, "category": CATEGORIES, "brand": BRANDS, "line": LINES
    }  # fmt: skip
    columns: dict[str, list[str | None]] = {
        "user_id": [user.user_id for user in users],
        "taste": [user.taste for user in users],
    }
    for name, names in levels.items():
        codes = [getattr(user, name) for user in users]
        columns[name] = [None if code is None else names[code] for code in codes]
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))
