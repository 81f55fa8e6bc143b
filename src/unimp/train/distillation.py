"""Distillation: a linear teacher without a network says, after every event, which items may come next.

The teacher is the first stage of the learned fusion (`unimp.fusion`), a conditional logit over relations of
history and candidate. Users stand in folds: the relations that speak about a user are counted on the events
of the other folds alone. Counted on the user's own events too, they would hold the very items that are to be
foretold, and the network would learn to trust co-occurrences that it will not find in the test.
"""

# E training events, U users, K items per target distribution, N predictions, H right answers of each

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

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
        mixed = replace(targets, labels=labels, parts=parts)
        return joined(mixed, self.ends(windows, lengths, width, targets.labels.shape[1]))

    def ends(self, windows: Sequence[Window], lengths: Tensor, width: int, right: int) -> TokenTargets:
        """The teacher's targets behind the last events of histories, which no training event follows.

        `right`: columns of right answers, empty here.
        """
        last_B = self.offsets[[window.user for window in windows]] + [window.stop - 1 for window in windows]
        ends = np.flatnonzero(self.offsets[[window.user + 1 for window in windows]] == last_B + 1)
        items = self.items[last_B[ends]].long()
        number = len(ends)
        return TokenTargets(
            torch.from_numpy(ends) * width + lengths[ends] - 1,
            torch.cat((items[:, :1].expand(-1, right), items), dim=1),
            torch.cat((torch.zeros(number, right), self.parts[last_B[ends]]), dim=1),
            torch.full((number,), int(Kind.ITEM)),
            torch.full((number,), int(Role.ANSWER)),
            torch.ones(number),
        )


def joined(first: TokenTargets, second: TokenTargets) -> TokenTargets:
    """The predictions of both, in the kinds of numbers of the first."""
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)]
    return TokenTargets(*(torch.cat((own, other.to(own.dtype))) for own, other in pairs))


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
    with progress_bar("distillation: the teacher's targets", len(train), show=show) as bar:
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
    catalog: Catalog, train: Histories, config: DistillationConfig
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
