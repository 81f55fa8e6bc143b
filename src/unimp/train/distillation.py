"""Distillation: a linear teacher without a network says, after every event, which items may come next.

The teacher is the first stage of the learned fusion (`unimp.fusion`), a conditional logit over relations of
history and candidate. Users stand in folds: the relations that speak about a user are counted on the events
of the other folds alone. Counted on the user's own events too, they would hold the very items that are to be
foretold, and the network would learn to trust co-occurrences that it will not find in the test.
"""

# E training events, U users, K items per target distribution, N predictions, H right answers of each

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from unimp.fusion.config import FusionConfig
from unimp.fusion.features import Features
from unimp.fusion.graphs import DENSE_ITEMS
from unimp.fusion.groups import attribute_groups, prefix_groups
from unimp.fusion.learned import usable
from unimp.fusion.logit import fit_logit
from unimp.fusion.past import HistoryView
from unimp.fusion.relations import content_likenesses, count_relations, log_prices
from unimp.fusion.sampling import sample_choices
from unimp.runs.training_config import DistillationConfig
from unimp.runs.training_split import TrainingSplit
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.targets import TokenTargets
from unimp.tasks.windows import Window

VERSION = "1"
"""Changes whenever the same settings would make other targets."""


@dataclass(frozen=True)
class SoftTargets:
    """A distribution over K items behind every event: K items, and their parts, which sum to 1."""

    items: Tensor
    """[E, K] int32, what may come after event e and those before it."""
    parts: Tensor
    """[E, K] float32."""
    offsets: IntArray
    """[U + 1] of the training histories."""
    share: float
    """Part of the teacher in every target that it has an opinion on."""

    def added(
        self, targets: TokenTargets, windows: Sequence[Window], lengths: Tensor, width: int
    ) -> TokenTargets:
        """`targets` of one batch, mixed with the teacher's; behind a history's end, the teacher's alone.

        `targets`: the items of the sentences of `windows`, in order; `lengths`: [B] positions of each
        sentence, `width`: of the padded batch. Before a user's first event the teacher has nothing to say.
        """
        firsts = torch.from_numpy(self.offsets[[window.user for window in windows]])
        starts = firsts + torch.tensor([window.start for window in windows])
        counts = torch.tensor([window.stop - window.start for window in windows])
        before = counts.cumsum(0) - counts
        events_N = torch.arange(len(targets.labels)) - (before - starts).repeat_interleave(counts)
        known_N = (events_N > firsts.repeat_interleave(counts)).float()[:, None]
        rows_N = (events_N - 1).clamp(min=0)
        share_N = self.share * known_N
        labels = torch.cat((targets.labels, self.items[rows_N].long()), dim=1)
        parts = torch.cat((targets.parts * (1 - share_N), self.parts[rows_N] * share_N), dim=1)
        # The end of a history is not followed by any training event.
        last_B = starts + counts - 1
        ends = torch.from_numpy(self.offsets[[window.user + 1 for window in windows]]) == last_B + 1
        rows_M, number = last_B[ends], int(ends.sum())
        right = targets.labels.shape[1]
        blank = self.items[rows_M][:, :1].long().expand(-1, right)
        return TokenTargets(
            torch.cat((targets.positions, (torch.arange(len(windows)) * width + lengths - 1)[ends])),
            torch.cat((labels, torch.cat((blank, self.items[rows_M].long()), dim=1))),
            torch.cat((parts, torch.cat((torch.zeros(number, right), self.parts[rows_M]), dim=1))),
            torch.cat((targets.kinds, torch.full((number,), int(Kind.ITEM), dtype=targets.kinds.dtype))),
            torch.cat((targets.roles, torch.full((number,), int(Role.ANSWER), dtype=targets.roles.dtype))),
            torch.cat((targets.shares, torch.ones(number))),
        )


def soft_targets(
    split: TrainingSplit, config: DistillationConfig, *, cold_items: bool = True, show: bool = False
) -> SoftTargets | None:
    """The teacher's targets for the training histories, cached on disk; None when `share` is 0.

    `cold_items`: whether items without a training event may be targets. ConfigError where the catalogue is
    too large: the teacher looks at every item behind every event.
    """
    if not config.share:
        return None
    if len(split.catalog) > DENSE_ITEMS:
        raise ConfigError(
            f"distillation.share: the teacher takes {DENSE_ITEMS:,} items at most, this catalogue has "
            f"{len(split.catalog):,}; set it to 0"
        )
    settings = config.model_dump_json(exclude={"share"})
    identity = f"soft-targets {VERSION} {settings} {split.exclude_history} {cold_items}"

    def make() -> Tensor:
        items, parts = teach(
            split.catalog,
            split.train,
            config,
            exclude=split.exclude_history,
            cold_items=cold_items,
            show=show,
        )
        return torch.stack((torch.from_numpy(items), torch.from_numpy(parts).view(torch.int32)))

    found = FeatureCache.at_default_place().get_or_make(identity, contents(split.catalog, split.train), make)
    return SoftTargets(found[0], found[1].view(torch.float32), split.train.offsets, config.share)


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
    config: DistillationConfig,
    *,
    exclude: bool,
    cold_items: bool = True,
    show: bool = False,
) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """([E, K] items, [E, K] float32 parts) after every event, each by relations of the other folds.

    The logit's weights are fitted on the last items of the first fold's users.
    """
    num_items, folds = len(catalog), min(config.folds, len(train))
    kept = min(config.items, num_items)
    items = np.zeros((train.num_events, kept), dtype=np.int32)
    parts = np.zeros((train.num_events, kept), dtype=np.float32)
    hidden = np.zeros(num_items, dtype=np.bool_)
    if not cold_items:
        hidden = np.bincount(train.item_rows, minlength=num_items) == 0
    likenesses = content_likenesses(catalog, None, dense=True)
    groups = [*attribute_groups(catalog), *prefix_groups(catalog, train)]
    prices, weights = log_prices(catalog), None
    fold_of = np.arange(len(train)) % folds
    with progress_bar("distillation: the teacher's targets", len(train), show=show) as bar:
        for fold in range(folds):
            others = train.select(np.flatnonzero(fold_of != fold))
            inside = np.flatnonzero(fold_of == fold)
            relations = count_relations(
                others, likenesses, groups, prices, num_items, l2=config.l2, decay=config.decay
            )
            # A sentence does not show the network when its events happened.
            features = Features(replace(relations, tides=None), with_model=False)
            if weights is None:
                weights = fit_teacher(features, train.select(inside), exclude=exclude)
            for user in inside.tolist():
                first, stop = train.offsets[user : user + 2].tolist()
                own = train.slice(user, user + 1)
                for event in range(first, stop):
                    past = HistoryView.of(own.first(event - first + 1), 0, config.decay)
                    scores = weights @ features.catalogue(past, None)
                    scores[hidden] = -np.inf
                    if exclude:
                        scores[past.rows] = -np.inf
                    items[event], parts[event] = largest(scores / config.temperature, kept)
                bar.advance()
    return items, parts


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
    """The `count` items of the highest scores, best first, and their softmax."""
    chosen = np.argpartition(-scores, count - 1)[:count]
    chosen = chosen[np.lexsort((chosen, -scores[chosen]))]
    odds = np.exp(scores[chosen] - scores[chosen[0]])
    return chosen, odds / odds.sum()
