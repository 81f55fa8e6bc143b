"""A linear teacher without a network: after every event of a log, which items may come next.

The teacher is the first stage of the learned fusion, a conditional logit over relations of history and
candidate. Users stand in folds: the relations that speak about a user are counted on the events of the other
folds alone. Counted on the user's own events too, they would hold the very items that are to be foretold, and
a network that learns from the teacher (Hinton et al. 2015) would trust co-occurrences that it will not find
in the test.
"""

# E training events, F features, K items per target distribution

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.data.splits import last_item_cases
from unimp.features.cache import FeatureCache
from unimp.fusion.config import FusionConfig, TeacherConfig
from unimp.fusion.features import Features
from unimp.fusion.graphs import DENSE_ITEMS
from unimp.fusion.groups import attribute_groups, prefix_groups
from unimp.fusion.learned import usable
from unimp.fusion.logit import fit_logit
from unimp.fusion.past import HistoryView
from unimp.fusion.relations import content_likenesses, count_relations, log_prices
from unimp.fusion.sampling import sample_choices

VERSION = "1"
"""Changes whenever the same settings would make other targets."""


@dataclass(frozen=True)
class LinearTeacher:
    """What the teacher says about the training histories; computed when first asked for, cached on disk."""

    catalog: Catalog
    train: Histories
    config: TeacherConfig
    exclude_history: bool = True
    """Whether a user's own items may be no targets."""
    cold_items: bool = True
    """Whether items without a training event may be targets."""
    show: bool = False

    def targets(self) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """[E, K] items behind every training event, best first, and their [E, K] parts, which sum to 1.

        ConfigError where the catalogue is too large: the teacher looks at every item behind every event.
        """
        return self._targets

    @cached_property
    def _targets(self) -> tuple[npt.NDArray[np.int32], FloatArray]:
        if len(self.catalog) > DENSE_ITEMS:
            raise ConfigError(
                f"distillation.share: the teacher takes {DENSE_ITEMS:,} items at most, this catalogue has "
                f"{len(self.catalog):,}; set it to 0"
            )
        settings = self.config.model_dump_json(include=set(TeacherConfig.model_fields))
        identity = f"soft-targets {VERSION} {settings} {self.exclude_history} {self.cold_items}"
        cache = FeatureCache.at_default_place()
        found = cache.get_or_make(identity, contents(self.catalog, self.train), self._make).numpy()
        return found[0], found[1].view(np.float32)

    def _make(self) -> Tensor:
        items, parts = teach(
            self.catalog,
            self.train,
            self.config,
            exclude=self.exclude_history,
            cold_items=self.cold_items,
            show=self.show,
        )
        return torch.stack((torch.from_numpy(items), torch.from_numpy(parts).view(torch.int32)))


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
) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """([E, K] items, [E, K] parts) after every event, each by relations of the other folds.

    The logit's weights are fitted on the last items of the first fold's users.
    """
    kept = min(config.items, len(catalog))
    items = np.zeros((train.num_events, kept), dtype=np.int32)
    parts = np.zeros((train.num_events, kept), dtype=np.float32)
    hidden = np.zeros(len(catalog), dtype=np.bool_)
    if not cold_items:
        hidden = np.bincount(train.item_rows, minlength=len(catalog)) == 0
    weights = None
    with progress_bar("the teacher's targets", len(train), show=show) as bar:
        for inside, features in features_by_fold(catalog, train, config):
            if weights is None:
                weights = fit_teacher(features, train.select(inside), exclude=exclude)
            for user in inside.tolist():
                own, first = train.slice(user, user + 1), int(train.offsets[user])
                for known in range(1, len(own.item_rows) + 1):
                    past = HistoryView.of(own.first(known), 0, config.decay)
                    scores = weights @ features.catalogue(past, None)
                    scores[hidden] = -np.inf
                    if exclude:
                        scores[past.rows] = -np.inf
                    row = first + known - 1
                    items[row], parts[row] = largest(scores / config.temperature, kept)
                bar.advance()
    return items, parts


def features_by_fold(
    catalog: Catalog, train: Histories, config: TeacherConfig
) -> Iterator[tuple[IntArray, Features]]:
    """The users of each fold, and features whose relations are counted on the others."""
    likenesses = content_likenesses(catalog, None, dense=True)
    groups = [*attribute_groups(catalog), *prefix_groups(catalog, train)]
    prices, folds = log_prices(catalog), min(config.folds, len(train))
    fold_of = np.arange(len(train)) % folds
    for fold in range(folds):
        others = train.select(np.flatnonzero(fold_of != fold))
        relations = count_relations(
            others, likenesses, groups, prices, len(catalog), l2=config.l2, decay=config.decay
        )
        # A sentence does not show the network when its events happened.
        yield np.flatnonzero(fold_of == fold), Features(replace(relations, tides=None), with_model=False)


def fit_teacher(features: Features, histories: Histories, *, exclude: bool) -> FloatArray:
    """[F] weights, fitted on the last item of each of the `histories`; zeros where none can be used."""
    settings = FusionConfig()
    cases = last_item_cases(histories)
    users = usable(cases, settings, exclude=exclude)[: settings.logit_users]
    if not len(users):
        return np.zeros(len(features.names), dtype=np.float32)
    choices, scaling = sample_choices(features, cases, users, None, exclude=exclude, seed=settings.seed)
    importance = fit_logit(choices, l2=settings.penalty)
    return (importance / scaling.deviation).astype(np.float32)


def largest(scores: FloatArray, count: int) -> tuple[IntArray, FloatArray]:
    """The `count` items of the highest scores, best first, and their softmax.

    In the place of items that may not be named (−inf) stands the best one again, with nothing.
    """
    chosen = np.argpartition(-scores, count - 1)[:count]
    chosen = chosen[np.lexsort((chosen, -scores[chosen]))]
    named = np.isfinite(scores[chosen])
    top = scores[chosen[0]] if named[0] else np.float32(0)
    odds = np.exp(scores[chosen] - top, where=named, out=np.zeros(count, dtype=np.float32))
    return np.where(named, chosen, chosen[0]), odds / max(odds.sum(), np.float32(1e-9))
