"""A teacher without a network: after every event of a log, which items may come next.

The teacher is the learned fusion without a model: a conditional logit over relations of history and candidate
(`linear`), whose first items boosted trees re-order (`trees`). Users stand in folds: the relations that speak
about a user are counted on the events of the other folds alone. Counted on the user's own events too, they
would hold the very items that are to be foretold, and a network that learns from the teacher (Hinton et al.
2015) would trust co-occurrences that it will not find in the test.
"""

# E training events, F features, K items per target distribution

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unimp.core.config import TeacherKind
from unimp.core.errors import ConfigError
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.histories import NO_TIME, FloatArray, Histories, IntArray
from unimp.features.cache import FeatureCache
from unimp.fusion.config import TeacherConfig
from unimp.fusion.features import Features
from unimp.fusion.graphs import DENSE_ITEMS, Relation
from unimp.fusion.groups import ItemGroups, attribute_groups, prefix_groups
from unimp.fusion.history_view import HistoryView
from unimp.fusion.relations import content_likenesses, count_relations, log_prices
from unimp.fusion.teacher_ranker import TeacherRanker, fit_ranker, fit_weights

VERSION = "1"
"""Changes whenever the same settings would make other targets."""
Targets = tuple[npt.NDArray[np.int32], FloatArray]


@dataclass(frozen=True)
class RelationTeacher:
    """What the teacher says about the training histories; computed when first asked for, cached on disk."""

    catalog: Catalog
    train: Histories
    config: TeacherConfig
    exclude_history: bool = True
    """Whether a user's own items may be no targets."""
    cold_items: bool = True
    """Whether items without a training event may be targets."""
    show: bool = False
    _made: dict[TeacherKind, Targets] = field(default_factory=dict, repr=False, compare=False)

    def targets(self, kind: TeacherKind) -> Targets:
        """[E, K] items behind every training event, best first, and their [E, K] parts, which sum to 1.

        `kind`: in place of the settings' own. ConfigError where the catalogue is too large: the teacher looks
        at every item behind every event.
        """
        if kind not in self._made:
            self._made[kind] = self._find(self.config.model_copy(update={"kind": kind}))
        return self._made[kind]

    def _find(self, config: TeacherConfig) -> Targets:
        """From the cache, or made."""
        if len(self.catalog) > DENSE_ITEMS:
            raise ConfigError(
                f"distillation.share: the teacher takes {DENSE_ITEMS:,} items at most, this catalogue has "
                f"{len(self.catalog):,}; set it to 0"
            )
        settings = config.model_dump_json(include=set(TeacherConfig.model_fields))
        identity = f"soft-targets {VERSION} {settings} {self.exclude_history} {self.cold_items}"

        def make() -> Tensor:
            items, parts = teach(
                self.catalog,
                self.train,
                config,
                exclude=self.exclude_history,
                cold_items=self.cold_items,
                show=self.show,
            )
            return torch.stack((torch.from_numpy(items), torch.from_numpy(parts).view(torch.int32)))

        cache = FeatureCache.at_default_place()
        found = cache.get_or_make(identity, contents(self.catalog, self.train), make).numpy()
        return found[0], found[1].view(np.float32)


def contents(catalog: Catalog, train: Histories) -> str:
    """A hash of all that the teacher reads."""
    digest = hashlib.sha256()
    for array in (train.offsets, train.item_rows):
        digest.update(np.ascontiguousarray(array).tobytes())
    for attribute in catalog.attributes:
        digest.update(f"{attribute.name} {attribute.kind}".encode())
        digest.update("\0".join(text or "\1" for text in catalog.texts[attribute.name]).encode())
    digest.update("\0".join(catalog.item_ids).encode())
    return digest.hexdigest()


def teach(
    catalog: Catalog,
    train: Histories,
    config: TeacherConfig,
    *,
    exclude: bool,
    cold_items: bool = True,
    show: bool = False,
) -> Targets:
    """([E, K] items, [E, K] parts) after every event, each by relations of the other folds.

    The logit's weights are fitted on the last items of the first fold's users; trees on those of all users,
    each fold's by the others.
    """
    kept = min(config.items, len(catalog))
    items = np.zeros((train.num_events, kept), dtype=np.int32)
    parts = np.zeros((train.num_events, kept), dtype=np.float32)
    hidden = np.empty(0, dtype=np.int64)
    if not cold_items:
        hidden = np.flatnonzero(np.bincount(train.item_rows, minlength=len(catalog)) == 0)
    # A sentence does not show the network when its events happened.
    folds = FoldFeatures(catalog, timeless(train), config)
    ranker = fit_ranker(folds, config, exclude=exclude, show=show) if config.kind == "trees" else None
    with progress_bar("the teacher's targets", len(train), show=show) as bar:
        for fold, (users, histories, features) in enumerate(folds):
            if ranker is None:
                ranker = TeacherRanker(fit_weights(features, histories, exclude=exclude))
            for place, user in enumerate(users.tolist()):
                own = histories.slice(place, place + 1)
                pasts = [
                    HistoryView.of(own.first(known), 0, config.decay)
                    for known in range(1, len(own.item_rows) + 1)
                ]
                away = [np.concatenate((hidden, past.rows)) if exclude else hidden for past in pasts]
                events = slice(*train.offsets[user : user + 2])
                items[events], parts[events] = ranker.distributions(features, pasts, away, fold, config)
                bar.advance()
    return items, parts


@dataclass(frozen=True)
class FoldFeatures:
    """Of each fold: its users, their histories, and features whose relations are counted on the others.

    Going through them again counts the relations again: those of one fold are held at a time.
    """

    catalog: Catalog
    train: Histories
    config: TeacherConfig

    def __iter__(self) -> Iterator[tuple[IntArray, Histories, Features]]:
        likenesses, groups, prices = self._of_catalogue
        folds = min(self.config.folds, len(self.train))
        fold_of = np.arange(len(self.train)) % folds
        for fold in range(folds):
            relations = count_relations(
                self.train.select(np.flatnonzero(fold_of != fold)),
                likenesses,
                groups,
                prices,
                len(self.catalog),
                l2=self.config.l2,
                decay=self.config.decay,
            )
            users = np.flatnonzero(fold_of == fold)
            yield users, self.train.select(users), Features(relations, with_model=False)

    @cached_property
    def _of_catalogue(self) -> tuple[dict[str, Relation], list[ItemGroups], FloatArray | None]:
        """What does not depend on the fold."""
        groups = [*attribute_groups(self.catalog), *prefix_groups(self.catalog, self.train)]
        return content_likenesses(self.catalog, None, dense=True), groups, log_prices(self.catalog)


def timeless(histories: Histories) -> Histories:
    """The histories without the times of their events."""
    return replace(histories, times=np.full_like(histories.times, NO_TIME))
