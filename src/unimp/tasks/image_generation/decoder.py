"""Pictures: codes drawn one after the other from the model, then painted by the image tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Self

import numpy as np
import torch
from torch import Tensor

from unimp.answer import PictureArray, Query
from unimp.core.progress import progress_bar
from unimp.data.histories import Histories
from unimp.inference.continuation import Check, Continuation, nothing_to_check
from unimp.inference.decoder import Decoder
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.score_sources import ScoreSources
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.tasks.image_generation.guidance import Conditioning, conditioning_weights, guided, sample
from unimp.tasks.image_generation.planning import Plan, WishPlanner, in_words
from unimp.tasks.image_generation.reranking import PictureReranker
from unimp.tasks.image_generation.sampling import SamplingConfig
from unimp.tasks.image_generation.schema import ImageRequest
from unimp.tasks.image_generation.task import ImageGenerationTask

PAINTED = 8
"""Pictures painted, or compared, between two checks."""


@dataclass
class ModelImageGenerator(Decoder):
    """Draws pictures (satisfies `Imaginer`)."""

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    task: ImageGenerationTask
    tokenizer: ImageTokenizer
    sampling: SamplingConfig
    reranker: PictureReranker | None = None
    """None, where the model cannot tell pictures apart: then each picture is drawn once."""
    planner: WishPlanner | None = None
    """None where nothing is planned or the model does not search."""
    cache: PrefixCache | None = None
    batch: int = 64
    show: bool = False
    check: Check = nothing_to_check
    """Called between readings, before every code and its steps, and before a few pictures are painted or
    compared; what it raises ends the work."""

    def with_items(self, state: ItemState, sources: ScoreSources) -> Self:
        reranker = None if self.reranker is None else self.reranker.with_items(state, sources)
        planner = None if self.planner is None else self.planner.with_items(state, sources)
        return replace(self, state=state, reranker=reranker, planner=planner)

    def with_prefixes(self, cache: PrefixCache) -> Self:
        reranker = None if self.reranker is None else self.reranker.with_prefixes(cache)
        planner = None if self.planner is None else self.planner.with_prefixes(cache)
        return replace(self, cache=cache, reranker=reranker, planner=planner)

    def draw_all(
        self, histories: Histories, wishes: Sequence[Query], requests: Sequence[ImageRequest]
    ) -> list[tuple[PictureArray, Plan]]:
        """[U] each request's pictures, uint8 [count, Y, X, 3], and what was planned for them.

        A seed means the same in any company.
        """
        found: list[tuple[PictureArray, Plan]] = []
        for sampling, group in groupby(
            range(len(requests)), key=lambda user: self.sampling_of(requests[user])
        ):
            decoder = replace(self, sampling=sampling)
            for users in packed(list(group), [request.count for request in requests], self.batch):
                found += decoder._draw_pack(histories, wishes, requests, users)
        return found

    def sampling_of(self, request: ImageRequest) -> SamplingConfig:
        """The recipe's, with what the request changes."""
        wanted = {"temperature": request.temperature, "top_p": request.top_p}
        return self.sampling.changed(**{name: value for name, value in wanted.items() if value is not None})

    def _draw_pack(
        self,
        histories: Histories,
        wishes: Sequence[Query],
        requests: Sequence[ImageRequest],
        users: Sequence[int],
    ) -> list[tuple[PictureArray, Plan]]:
        """Pictures and plans of a few users, in one pass; each request draws from a generator of its own."""
        counts = [requests[user].count for user in users]
        generators = [torch.Generator().manual_seed(requests[user].seed) for user in users]
        rows = np.array(users, dtype=np.int64)
        with (
            progress_bar("drawing", sum(counts), show=self.show) as bar,
            torch.inference_mode(),
        ):
            queries, own = [wishes[user] for user in users], histories.select(rows)
            plans = self.plans(own, queries)
            pictures = self.best(own, queries, generators, counts, plans)
            bar.advance(sum(counts))
        return list(zip(np.split(pictures, np.cumsum(counts)[:-1]), plans, strict=True))

    def plans(self, histories: Histories, queries: Sequence[Query]) -> list[Plan]:
        """What the user's own search adds to each wish; nothing where nothing is planned."""
        if self.planner is None or not self.sampling.plan_guidance:
            return [{} for _ in queries]
        self.check()
        return self.planner.planned(histories, queries)

    def imagine(self, histories: Histories, guidance: Sequence[Query], seed: int) -> PictureArray:
        """uint8 [U, Y, X, 3] of all users from one generator; the same seed draws the same pictures."""
        generator = torch.Generator().manual_seed(seed)
        parts: list[PictureArray] = []
        with progress_bar("drawing", len(guidance), show=self.show) as bar, torch.inference_mode():
            for start in range(0, len(guidance), self.batch):
                queries = guidance[start : start + self.batch]
                batch = histories.slice(start, start + self.batch)
                parts.append(self.best(batch, queries, [generator] * len(queries)))
                bar.advance(len(queries))
        config = self.tokenizer.config
        nobody = np.zeros((0, config.height, config.image_width, 3), dtype=np.uint8)
        return np.concatenate([nobody, *parts])

    def best(
        self,
        histories: Histories,
        queries: Sequence[Query],
        generators: Sequence[torch.Generator],
        counts: Sequence[int] = (),
        plans: Sequence[Plan] | None = None,
    ) -> PictureArray:
        """[P, Y, X, 3] of each user `counts` pictures (empty: one), the reranker's choice of several each.

        plans: [U]; None: made here.
        """
        counts = counts or [1] * len(queries)
        draws = self.sampling.draws if self.reranker is not None else 1
        codes = self.draw(histories, queries, generators, [count * draws for count in counts], plans)
        sought_PD = None
        if self.reranker is not None and draws > 1:
            self.check()
            sought_PD = self.reranker.sought(histories, queries)[repeated(counts)]
        few, parts = max(1, PAINTED // draws), []
        for start in range(0, sum(counts), few):
            self.check()
            pictures = paint(self.tokenizer, codes[start * draws : (start + few) * draws])
            if sought_PD is not None:
                self.check()
                pictures = self._preferred(sought_PD[start : start + few], pictures)
            parts.append(pictures)
        return np.concatenate(parts)

    def _preferred(self, sought_PD: Tensor, pictures: PictureArray) -> PictureArray:
        """[P, Y, X, 3] of [P * draws, Y, X, 3]."""
        assert self.reranker is not None
        pictures_PN = pictures.reshape(len(sought_PD), -1, *pictures.shape[1:])
        chosen = self.reranker.score(sought_PD, pictures_PN).argmax(axis=1)
        return pictures_PN[np.arange(len(sought_PD)), chosen]

    def draw(
        self,
        histories: Histories,
        queries: Sequence[Query],
        generators: Sequence[torch.Generator],
        draws: Sequence[int] = (),
        plans: Sequence[Plan] | None = None,
    ) -> Tensor:
        """[N, S] codes, those of one user beside each other; each history is read once.

        generators: [U]; users beside each other may share one. draws: [U] how many of each; empty: one.
        plans: [U]; None: made here.
        """
        draws = draws or [1] * len(queries)
        each = [generators[user] for user in repeated(draws).tolist()]
        vocabulary = self.encoder.vocabulary
        first, places = vocabulary.first_code, vocabulary.num_places
        towards = self.sampling.history_guidance if histories.lengths.any() else None
        plans = self.plans(histories, queries) if plans is None else plans
        planned = self.sampling.plan_guidance if self.planner is not None else 0.0
        weights = conditioning_weights(self.sampling.guidance, towards, planned)
        going = []
        for conditioning in weights:
            self.check()
            going.append(self.read(*self.known(conditioning, histories, queries, list(map(in_words, plans)))))
        if max(draws) > 1:
            rows = repeated(draws).to(self.state.table_ID.device)
            for continuation in going:
                continuation.keep(rows)
        codes: list[Tensor] = []
        for place in range(places):
            self.check()
            logits = [
                self.model.token_logits(continuation.hidden_BD, first, vocabulary.first_place).float()
                for continuation in going
            ]
            code_U = sample(guided(logits, list(weights.values())), self.sampling, each)
            codes.append(code_U)
            if place + 1 < places:
                following = torch.full_like(code_U, vocabulary.first_place + place + 1)
                for continuation in going:
                    self.check()
                    continuation.step(torch.stack((first + code_U, following), dim=1))
        return torch.stack(codes, dim=1)

    def known(
        self,
        conditioning: Conditioning,
        histories: Histories,
        queries: Sequence[Query],
        plans: Sequence[Query],
    ) -> tuple[Histories, Sequence[Query], PrefixCache | None]:
        """What a reading is told, and where its prefixes are kept."""
        match conditioning:
            case Conditioning.ALL:
                return histories, queries, self.cache
            case Conditioning.WORDS:
                return histories.first(0), queries, None
            case Conditioning.PLAN:
                return histories.first(0), plans, None
            case Conditioning.NOTHING:
                return histories.first(0), [Query()] * len(queries), None

    def read(
        self, histories: Histories, queries: Sequence[Query], cache: PrefixCache | None = None
    ) -> Continuation:
        sentences = [
            self.encoder.encode(self.task.question(histories, user, query))
            for user, query in enumerate(queries)
        ]
        places, users = self.encoder.vocabulary.num_places, histories.user_ids.tolist()
        return Continuation(self.model, self.state, sentences, places, cache, users)


def repeated(counts: Sequence[int]) -> Tensor:
    """[sum of counts] 0 so many times as the first says, then 1, and so on."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def packed(users: Sequence[int], counts: Sequence[int], most: int) -> list[list[int]]:
    """The users in groups, in order, whose `counts` come to at most `most`, or of a single user."""
    packs: list[list[int]] = []
    room = 0
    for user in users:
        if not packs or counts[user] > room:
            packs.append([])
            room = most
        packs[-1].append(user)
        room -= counts[user]
    return packs


def paint(tokenizer: ImageTokenizer, codes_US: Tensor) -> PictureArray:
    """uint8 [U, Y, X, 3]."""
    pixels = tokenizer.decode(codes_US.cpu())
    array = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(array)
