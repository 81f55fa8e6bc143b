"""What the store holds, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass, field

WHEN_STORED = -1
"""As the time of a new event: the database's clock says when it is written. Servers' clocks may differ."""


@dataclass(frozen=True)
class StoredEvent:
    """A user met an item."""

    event_id: str
    """Chosen by the client; sent twice, it counts once."""
    user_id: str
    item_id: str
    time: int
    """UTC seconds, or WHEN_STORED."""
    rating: float | None = None
    """In the data's scale; None when the user gave none."""
    kind: str = "view"

    @property
    def content(self) -> tuple[object, ...]:
        """What must agree when the id comes again; the time may differ, it is often the sending time."""
        return self.user_id, self.item_id, self.rating, self.kind


@dataclass(frozen=True)
class Added:
    """What became of a batch of events."""

    accepted: int
    duplicates: int


@dataclass(frozen=True)
class MetItem:
    """An item that a user met, once or often."""

    item_id: str
    time: int
    """UTC seconds of the latest time."""


@dataclass(frozen=True)
class UserLog:
    """What the store knows of a user: events in time order, ties in order of arrival."""

    events: tuple[StoredEvent, ...]
    earlier: tuple[MetItem, ...] = field(default=(), kw_only=True)
    """Items of events before those, each once, by their latest time: a user does not meet them anew."""
    forgotten: bool
    """The user asked to be forgotten: what the data folder says about them must not be used either."""


@dataclass(frozen=True)
class StoredItem:
    """An item as it was last upserted."""

    item_id: str
    attributes: dict[str, str]
    has_picture: bool
    version: str = ""
    """Another one after every upsert or removal."""
    removed: bool = False
    """It shall not be answered with any more."""


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret."""

    name: str
    roles: frozenset[str]
