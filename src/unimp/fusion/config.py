"""`FusionConfig`: a second stage over a method's scores. `TeacherConfig`: a teacher of networks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unimp.core.config import Config, TeacherKind

FusionKind = Literal["none", "closed", "learned"]
KINDS: tuple[FusionKind, ...] = ("none", "closed", "learned")


class FusionConfig(Config):
    """The same for every method of a table."""

    kind: FusionKind = "none"
    """`none`: the method's own scores. `closed`: scores and four closed forms added with weights from
    validation. `learned`: a conditional logit over relation features, then trees on its first items."""
    users: int = Field(default=12_000, ge=10)
    """At most so many validation cases are fitted on, drawn by the seed."""
    logit_users: int = Field(default=4_000, ge=10)
    """Of these, the first so many that the logit is fitted on: it has few weights."""
    candidates: int = Field(default=100, ge=2)
    """First items of the logit that the trees re-rank."""
    folds: int = Field(default=5, ge=2)
    """Parts of the validation users: each part is stopped and judged on by trees that never saw it."""
    bags: int = Field(default=1, ge=1)
    """Boosters of a fold; they differ by what each tree may look at, and their scores are averaged."""
    penalty: float = Field(default=1e-3, ge=0)
    """Of the logit's squared standardised weights."""
    l2: float = Field(default=50.0, gt=0)
    """Of EASE's Gram matrix."""
    decay: float = Field(default=0.8, gt=0, le=1)
    """Each step back in a history counts this much less in means."""
    personal: bool = False
    """Further features: how well each relation foretold this user's earlier choices, likeness in those words
    that the items of a user share, and which items had no event when the fusion was fitted."""
    refit: bool = True
    """Rank by relations counted on the validation items too, once the fusion is fitted without them."""
    refit_method: bool = False
    """Rank by a method that learned once more, the validation items among its events, for as many epochs as
    validation had chosen, once the fusion is fitted on scores of the one that had not seen them."""
    place_new_items: bool = False
    """An item without a training event has the mean of the method's scores of the ten items most like it, as
    it has in the relations; else what the method says of it, which mostly is that nobody wants it."""
    learning_rate: float = Field(default=0.08, gt=0)
    """Of the trees."""
    rounds: int = Field(default=600, ge=1)
    """Most trees of a fold; early stopping out of the fold decides."""
    seed: int = 0
    """Of users, folds, sampled items and trees."""


class SecondStageConfig(Config):
    """How a run's recommendations are ordered, in the end."""

    kind: Literal["closed", "learned", "auto"] = "closed"
    """`closed`: by the model and closed forms, with weights from validation. `learned`: by a ranker over
    relations of history and candidate, the model's score among them (docs/fusion.md). `auto`: by the learned
    one where validation users whom it was not fitted on are served better."""
    most_items: int = Field(20_000, ge=1)
    """Past so many items `auto` is `closed`: the ranker looks at every item for every answer."""
    users: int = Field(12_000, ge=10)
    """At most so many validation users are fitted on."""
    candidates: int = Field(100, ge=2)
    """First items of the ranker's linear stage that its trees re-rank."""
    personal: bool = False
    """Features of how well each relation foretold a user's earlier choices, and of items without events."""
    refit: bool = True
    """Answer by relations counted on the validation items too, once the ranker is fitted without them."""

    def learned(self) -> FusionConfig:
        """The settings of the learned fusion."""
        return FusionConfig(
            kind="learned",
            users=self.users,
            candidates=self.candidates,
            personal=self.personal,
            refit=self.refit,
        )


class TeacherConfig(Config):
    """A teacher of networks that has no network; see `unimp.fusion.teacher`."""

    kind: TeacherKind = "linear"
    """`linear`: the first stage of the learned fusion. `trees`: its second stage re-orders the first one's
    items and says how far apart they are."""
    items: int = Field(100, ge=1)
    """The teacher's first so many items make its distribution."""
    temperature: float = Field(1.0, gt=0)
    """Above 1 the teacher's distribution is flatter, below 1 sharper."""
    folds: int = Field(5, ge=2)
    """Parts of the users."""
    l2: float = Field(50.0, gt=0)
    """Of EASE's Gram matrix among the teacher's relations."""
    decay: float = Field(0.8, gt=0, le=1)
    """Each step back in a history counts this much less in the teacher's means."""
