"""The official way of training and recommending, on our model's own weights.

Training: a sentence for every target, with the five items before it; each picture of each sentence decoded
and encoded again; logits over all words and items at every position, of which one counts; a Python loop over
the tokens says which. Recommending: pictures decoded again for every question and encoded for each of ten
beams, the prompt read by each beam, eight tokens written by a beam search that may say anything, and what
names no item dropped. For comparison alone; where there is a choice, the cheaper way is taken.
"""

# B sentences, T positions, N predictions, D width, W words, I items, P pictures, V visual tokens
# E visual width, M pictures that a position sees

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from measure import Meter, read_pixels
from torch import Tensor

from unimp.data.histories import Histories, IntArray
from unimp.inference.continuation import seen_at_end
from unimp.inference.forward import as_inputs
from unimp.model.cross_attention import View
from unimp.model.decoder import KVCache
from unimp.model.inputs import Inputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.model.vision import pixels_from_bytes
from unimp.runs.artifacts import RunArtifacts
from unimp.sentence.batch import Batch, collate
from unimp.sentence.encoder import EncodedSentence
from unimp.sentence.parts import ItemMention, UserSentence
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.windows import Window

HISTORY, BEAMS, NEW_TOKENS = 5, 10, 8
NO_LABEL = -100


@dataclass(frozen=True)
class Said:
    """What a beam search came up with."""

    items: tuple[int, ...]
    """Item rows with which beams began, best first, each once."""
    dropped: int
    """Beams that began with a word."""


@dataclass
class OfficialWay:
    """One model, trained and asked in the official way."""

    artifacts: RunArtifacts
    model: UnimpModel
    task: RecommendationTask
    meter: Meter
    seconds: dict[str, float] = field(default_factory=dict)
    """Of the meter's ruling clock, by part of the work, all calls together."""

    @contextmanager
    def noted(self, part: str) -> Iterator[None]:
        clock = time.process_time if self.meter.ruling == "process" else time.perf_counter
        self.meter.synchronize()
        started = clock()
        yield
        self.meter.synchronize()
        self.seconds[part] = self.seconds.get(part, 0.0) + clock() - started

    def sentence(self, histories: Histories, user: int, target: int) -> EncodedSentence:
        """The items before event `target` of a user, and at the last position the target itself."""
        window = Window(user, max(0, target - HISTORY), target + 1)
        parts = self.task.sentence(histories, window).parts
        end = max(place for place, part in enumerate(parts) if isinstance(part, ItemMention))
        return self.artifacts.encoder.encode(UserSentence(parts[: end + 1]))

    def loss(self, sentences: Sequence[EncodedSentence], state: ItemState) -> Tensor:
        """Mean cross-entropy of the sentences' last items among all words and items."""
        batch = collate(sentences)
        with self.noted("labels"):
            labels_BT = torch.tensor(labels_of(batch, self.artifacts.vocabulary.num_tokens))
        visual = self.see([row for sentence in sentences for row in shown(sentence)])
        if visual is not None:
            mentions = np.concatenate([shown(sentence) for sentence in sentences])
            visual = visual[torch.from_numpy(np.unique(mentions, return_index=True)[1]).to(visual.device)]
        batch = batch.to(self.meter.device)
        with self.noted("model, forward"):
            hidden_BTD = self.model(as_inputs(batch), state, self.model.look(visual))
            logits_BTN = self.logits(hidden_BTD.flatten(0, 1), state).view(*hidden_BTD.shape[:2], -1)
            shifted = labels_BT[:, 1:].to(self.meter.device)
            return F.cross_entropy(logits_BTN[:, :-1].flatten(0, 1), shifted.flatten(), ignore_index=NO_LABEL)

    @torch.inference_mode()
    def recommend(self, histories: Histories, state: ItemState) -> Said:
        """Ten beams after the latest five items of the first of `histories`."""
        encoded = self.artifacts.encoder.encode(self.task.question(histories.last(HISTORY), 0))
        batch = collate([encoded] * BEAMS)
        rows = batch.picture_rows.tolist()
        visual = self.see(rows, times=BEAMS)
        batch = batch.to(self.meter.device)
        with self.noted("prompt"):
            # Encoded for each beam, but read from the first: they are the same.
            pictures = self.model.look(None if visual is None else visual[: len(rows)])
            cache = self.model.decoder.new_cache(BEAMS, batch.items.shape[1] + NEW_TOKENS)
            hidden_BD = self.model(as_inputs(batch), state, pictures, cache)[:, -1]
        with self.noted("beams"):
            return self.spoken(hidden_BD, state, pictures, cache, seen_at_end(as_inputs(batch)))

    def spoken(
        self,
        hidden_BD: Tensor,
        state: ItemState,
        pictures: tuple[Tensor, ...],
        cache: KVCache,
        seen_BM: Tensor | None,
    ) -> Said:
        """Beam search over everything that the model can say."""
        scores_B = hidden_BD.new_full((BEAMS,), -torch.inf)
        scores_B[0] = 0.0  # all beams are equal before the first token
        begun_B = torch.zeros(BEAMS, dtype=torch.long, device=hidden_BD.device)
        for step in range(NEW_TOKENS):
            chances_BN = scores_B[:, None] + torch.log_softmax(self.logits(hidden_BD, state), dim=-1)
            scores_B, places_B = chances_BN.flatten().topk(BEAMS)
            rows_B, said_B = places_B // chances_BN.shape[1], places_B % chances_BN.shape[1]
            begun_B = begun_B[rows_B] if step else said_B
            if step + 1 < NEW_TOKENS:
                cache.keys, cache.values = cache.keys[:, rows_B], cache.values[:, rows_B]
                hidden_BD = self.model(self.said(said_B, seen_BM), state, pictures, cache)[:, -1]
        items = [token - self.artifacts.vocabulary.num_tokens for token in begun_B.tolist()]
        valid = [item for item in items if item >= 0]
        return Said(tuple(dict.fromkeys(valid)), len(items) - len(valid))

    def said(self, said_B: Tensor, seen_BM: Tensor | None) -> Inputs:
        """One more position for each beam: an item or a word, which sees what the prompt's end saw."""
        first_item, device = self.artifacts.vocabulary.num_tokens, said_B.device
        worded = (said_B < first_item).nonzero()[:, 0]
        flat = torch.arange(BEAMS, device=device)
        views = () if seen_BM is None else (View(flat, flat, torch.zeros_like(flat), seen_BM, 1),)
        return Inputs(
            torch.where(said_B < first_item, -1, said_B - first_item)[:, None],
            said_B[worded],
            worded,
            torch.ones(len(worded), device=device),
            views,
            None,
            torch.zeros(0, dtype=torch.long, device=device),
        )

    def logits(self, hidden_ND: Tensor, state: ItemState) -> Tensor:
        """[N, W + I]; words in their parts, so that no copy of all their rows is made."""
        vocabulary = self.artifacts.vocabulary
        edges = (0, vocabulary.first_word, vocabulary.first_code, vocabulary.num_tokens)
        parts = [
            self.model.token_logits(hidden_ND, first, stop) for first, stop in pairwise(edges) if stop > first
        ]
        return torch.cat([*parts, self.model.item_logits(hidden_ND, state.table_ID)], dim=-1)

    @torch.no_grad()
    def see(self, rows: Sequence[int], times: int = 1) -> Tensor | None:
        """[P · times, V, E] visual tokens, the pictures read from their source and encoded as often."""
        if self.artifacts.vision is None or not len(rows):
            return None
        catalog, (height, width) = self.artifacts.context.catalog, self.artifacts.picture_size
        with self.noted("pictures decoded"):
            names = [catalog.picture_references[row] or "" for row in rows]
            pixels = torch.from_numpy(read_pixels(catalog, names, height, width))
        with self.noted("pictures encoded"):
            pixels = pixels.to(self.meter.device).repeat(times, 1, 1, 1)
            visual: Tensor = self.artifacts.vision.network().to(self.meter.device)(pixels_from_bytes(pixels))
        return visual


def shown(sentence: EncodedSentence) -> IntArray:
    """Rows of the pictures that a sentence shows."""
    return np.unique(sentence.pictures[sentence.pictures >= 0])


def labels_of(batch: Batch, num_tokens: int) -> list[list[int]]:
    """Words and items by one numbering, items last; all but each sentence's last position masked."""
    ids_N = torch.zeros(batch.items.numel(), dtype=torch.long)
    ids_N[batch.token_positions] = batch.tokens
    ids_BT = torch.where(batch.items >= 0, num_tokens + batch.items, ids_N.view_as(batch.items))
    labels = []
    for row, length in zip(ids_BT.tolist(), batch.lengths.tolist(), strict=True):
        masked = []
        for place, token in enumerate(row):
            masked.append(token if place == length - 1 else NO_LABEL)
        labels.append(masked)
    return labels
