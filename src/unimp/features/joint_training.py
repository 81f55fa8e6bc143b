"""Contrastive training of a `JointSpace`: a text and the picture of its item are alike, others are not.

Symmetric InfoNCE with a learned temperature (CLIP: Radford et al., ICML 2021) upon frozen descriptors, from
the closed form on. Pictures of items that are bought together may be further pairs.
"""

# B items of a batch, W words and word pairs, D principal directions, K width of the space

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.core.config import Config
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, IntArray
from unimp.features.cache import FeatureCache
from unimp.features.joint_space import (
    L2,
    LEAST,
    MOST_TERMS,
    SHORT,
    WIDTH,
    ItemWords,
    JointSpace,
    attribute_words,
    fit_ridge,
    fitted_once,
    joined_terms,
)

LONGEST_SPAN = 3
"""Words that are taken of a long value."""
SHARPEST = 50.0
"""Largest factor of a cosine."""


class JointTrainingConfig(Config):
    """How the space is trained from its closed form on."""

    steps: int = Field(300, ge=1)
    batch: int = Field(256, ge=2)
    """Items of a step; at most as many as there are."""
    lr: float = Field(1e-3, gt=0)
    short: float = Field(0.7, ge=0, le=1)
    """Share of the texts that are one or two of the item's values, as queries are; of the others a fifth of
    the terms is left out."""
    co_bought: float = Field(0.0, ge=0)
    """Weight of the loss between pictures of items that are bought together; 0: left out."""


def contrast(
    space: JointSpace,
    items: ItemWords,
    descriptors_PE: FloatArray,
    config: JointTrainingConfig,
    *,
    seed: int,
    pairs_N2: IntArray | None = None,
    show: bool = False,
) -> JointSpace:
    """The space, trained on words and pictures of these P items; deterministic by seed, on the CPU.

    pairs_N2: places of items that are bought together, for `config.co_bought`.
    """
    random = np.random.default_rng(seed)
    shown_PD = torch.from_numpy(space.whitened(descriptors_PE))
    texts = TextViews(space, items, config.short)
    words_WK = nn.Parameter(torch.from_numpy(space.words_WK.copy()))
    pictures_DK = nn.Parameter(torch.from_numpy(space.pictures_DK.copy()))
    log_factor = nn.Parameter(torch.tensor(math.log(10.0)))
    optimizer = torch.optim.AdamW([words_WK, pictures_DK, log_factor], lr=config.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, total_steps=max(config.steps, 2), pct_start=0.1
    )
    size = min(config.batch, len(items))
    rounds = config.steps * size // len(items) + 2
    order = np.concatenate([random.permutation(len(items)) for _ in range(rounds)])
    with progress_bar("training the joint space", config.steps, show=show) as bar:
        for step in range(config.steps):
            rows_B = order[step * size : (step + 1) * size]
            flat, lengths_B = texts.draw(rows_B, random)
            text_BK = bag(words_WK, texts.idf_W, flat, lengths_B)
            factor = log_factor.exp().clamp(max=SHARPEST)
            logits_BB = text_BK @ place(shown_PD[rows_B], pictures_DK).T * factor
            loss = paired_loss(logits_BB, texts.also_true(rows_B, flat, lengths_B))
            if config.co_bought and pairs_N2 is not None and len(pairs_N2):
                chosen_B2 = pairs_N2[random.integers(0, len(pairs_N2), size)]
                loss = loss + config.co_bought * co_bought_loss(shown_PD, pictures_DK, chosen_B2, factor)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.advance(note=f"loss {loss.item():.3f}")
    return replace(
        space, words_WK=words_WK.detach().numpy(), pictures_DK=np.asarray(pictures_DK.detach().numpy())
    )


def catalogue_space(
    catalog: Catalog,
    descriptors_IE: FloatArray,
    config: JointTrainingConfig | None = None,
    *,
    seed: int,
    show: bool = False,
) -> JointSpace:
    """The space of a catalogue, trained on its items that have a picture and a text.

    descriptors_IE: one row an item, zeros without a picture, of any frozen encoder. The cache keeps the space
    by words, descriptors, settings and seed. DataError where no word is in three such items.
    """
    config = config or JointTrainingConfig()
    every = attribute_words(catalog)
    rows = np.flatnonzero([bool(values) for values in every] & (np.abs(descriptors_IE).sum(axis=1) > 0))
    items, shown_PE = [every[row] for row in rows], np.asarray(descriptors_IE[rows], dtype=np.float32)

    def fit() -> JointSpace:
        return contrast(fit_ridge(items, shown_PE), items, shown_PE, config, seed=seed, show=show)

    closed_form = f"{WIDTH}-{L2}-{LEAST}-{MOST_TERMS}-{SHORT}"
    identity = f"joint-{closed_form}-{config.model_dump_json()}-{seed}"
    return fitted_once(FeatureCache.at_default_place(), identity, items, shown_PE, fit)


def bag(words_WK: Tensor, idf_W: Tensor, flat: Tensor, lengths_B: Tensor) -> Tensor:
    """[B, K] unit sums of the terms' vectors by rarity; `flat` has the terms of all texts in turn."""
    starts_B = lengths_B.cumsum(0) - lengths_B
    sums = F.embedding_bag(flat, words_WK, starts_B, mode="sum", per_sample_weights=idf_W[flat])
    return F.normalize(sums, dim=1)


def place(shown_BD: Tensor, pictures_DK: Tensor) -> Tensor:
    return F.normalize(shown_BD @ pictures_DK, dim=1)


def paired_loss(logits_BB: Tensor, alike_BB: Tensor) -> Tensor:
    """Mean −log of the partner's softmax share, from either side; pairs that are alike are no negatives."""
    own = torch.eye(len(logits_BB), dtype=torch.bool)
    logits_BB = logits_BB.masked_fill(alike_BB & ~own, -torch.inf)
    partners = torch.arange(len(logits_BB))
    return F.cross_entropy(logits_BB, partners) + F.cross_entropy(logits_BB.T, partners)


def co_bought_loss(shown_PD: Tensor, pictures_DK: Tensor, pairs_B2: IntArray, factor: Tensor) -> Tensor:
    """`paired_loss` of two items' pictures; an item that occurs twice is no negative of itself."""
    first, second = (place(shown_PD[pairs_B2[:, side]], pictures_DK) for side in (0, 1))
    same = [pairs_B2[:, None, side] == pairs_B2[None, :, side] for side in (0, 1)]
    return paired_loss(first @ second.T * factor, torch.from_numpy(same[0] | same[1]))


class TextViews:
    """Texts of items as training draws them: whole ones with gaps, and short ones, as queries are."""

    def __init__(self, space: JointSpace, items: ItemWords, short: float) -> None:
        self.columns, self.short = space.terms.vocabulary, short
        self.idf_W = torch.from_numpy(space.terms.idf)
        self.items = items
        self.whole = [self.known(values) for values in items]

    def known(self, values: list[list[str]]) -> IntArray:
        """Columns of the known terms, each once, rising."""
        found = {self.columns[term] for term in joined_terms(values) if term in self.columns}
        return np.array(sorted(found), dtype=np.int64)

    def draw(self, rows_B: IntArray, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The terms of one view of each item, one after the other, and how many each has."""
        views = [self.view(row, random) for row in rows_B.tolist()]
        return torch.from_numpy(np.concatenate(views)), torch.tensor([len(view) for view in views])

    def view(self, row: int, random: np.random.Generator) -> IntArray:
        """The whole text less a fifth, or one or two values, of long ones a few words."""
        whole, values = self.whole[row], self.items[row]
        if not values or random.random() >= self.short:
            kept = whole[random.random(len(whole)) >= 0.2]
            return kept if len(kept) else whole
        chosen = [values[place] for place in random.permutation(len(values))[: random.integers(1, 3)]]
        found = self.known([span(words, random) for words in chosen])
        return found if len(found) else whole

    def also_true(self, rows_B: IntArray, flat: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, B] bool: the text is also true of that item: the item's own text has all its terms."""
        drawn = torch.zeros(len(rows_B), len(self.idf_W))
        drawn[torch.arange(len(rows_B)).repeat_interleave(lengths_B), flat] = 1.0
        has = torch.zeros_like(drawn)
        for place_in_batch, row in enumerate(rows_B.tolist()):
            has[place_in_batch, self.whole[row]] = 1.0
        return drawn @ has.T >= lengths_B[:, None] - 0.5


def span(words: list[str], random: np.random.Generator) -> list[str]:
    """The words; of more than four, up to three that follow each other."""
    if len(words) <= LONGEST_SPAN + 1:
        return words
    length = int(random.integers(1, LONGEST_SPAN + 1))
    start = int(random.integers(0, len(words) - length + 1))
    return words[start : start + length]
