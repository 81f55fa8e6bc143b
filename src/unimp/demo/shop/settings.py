"""`ShopConfig`: the size and the rules of the generated shop."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from unimp.core.config import Config


class ShopConfig(Config):
    """The default trains a small model in about a minute on two CPU cores."""

    num_items: int = Field(640, ge=320)
    """Items of the catalogue: 20 for each of the 32 visual styles (8 colours x 4 patterns)."""
    num_users: int = Field(1200, ge=12)
    """Users of all three kinds together."""
    picture_share: float = Field(0.4, ge=0, le=1)
    """Share of users who choose by colour and pattern alone, which only the picture shows."""
    text_share: float = Field(0.3, ge=0, le=1)
    """Share of users who choose by a category or a brand, and a line (price band). The rest follow habits."""
    min_events: int = Field(5, ge=3)
    """Fewest events of a user; the last two are the validation and the test item of leave-one-out."""
    max_events: int = Field(14, ge=3)
    """Most events of a user; lengths are uniform between the two."""
    core_share: float = Field(0.4, gt=0, lt=1)
    """Share of items that are in stock from the first day. The others are the new season's arrivals."""
    noise: float = Field(0.1, ge=0, le=1)
    """Chance that an event has nothing to do with the user's taste."""
    popularity: float = Field(0.6, ge=0)
    """Exponent of the items' popularity by rank (Zipf); 0 makes all equally popular."""
    preview_share: float = Field(0.05, ge=0, le=1)
    """Last part of the old season in which arrivals appear one by one; few meet them before the launch."""
    old_days: int = Field(100, ge=1)
    """Days of the old season: every event of a user but the last two."""
    new_days: int = Field(20, ge=1)
    """Days of the new season: the last two events of every user."""
    missing_share: float = Field(0.03, ge=0, le=0.5)
    """Share of items without a brand; the same share lacks a description, and the same a picture."""
    reviewed_share: float = Field(0.7, ge=0, le=1)
    """Share of events with a written review."""
    queried_share: float = Field(0.3, ge=0, le=1)
    """Share of old-season events that began with a search; the last two events of a user always did."""
    visual_query_share: float = Field(0.5, ge=0, le=1)
    """Share of search queries that name colour and pattern, which no text of the item answers."""
    picture_size: int = Field(64, ge=16, le=512)
    """Width and height of the square pictures, in pixels."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_events < self.min_events:
            raise ValueError(f"max_events {self.max_events} is below min_events {self.min_events}")
        if self.picture_share + self.text_share > 1.0 + 1e-9:
            raise ValueError(f"picture_share {self.picture_share} + text_share {self.text_share} exceed 1")
        return self
