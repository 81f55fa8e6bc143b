"""`Answerer`: one model's answers to every task it was trained for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unimp.answer import ExplainedRating, PictureArray, Query
from unimp.core.errors import ConfigError
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.inference.continuation import Check
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.retrieval import ModelRanker, ModelSearcher
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.tasks.explanation.decoder import ModelExplainer
from unimp.tasks.image_generation.decoder import ModelImageGenerator
from unimp.tasks.rating.decoder import ModelRater
from unimp.tasks.selection.decoder import ModelSelector


@dataclass(frozen=True)
class Answerer:
    """Satisfies every protocol of `answer.py`; ConfigError for a task the checkpoint does not have."""

    model: UnimpModel
    state: ItemState
    ranker: ModelRanker | None = None
    searcher: ModelSearcher | None = None
    rater: ModelRater | None = None
    explainer: ModelExplainer | None = None
    selector: ModelSelector | None = None
    imaginer: ModelImageGenerator | None = None

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks it has."""
        parts = {
            "recommendation": self.ranker,
            "search": self.searcher,
            "rating": self.rater,
            "explanation": self.explainer,
            "selection": self.selector,
            "imagination": self.imaginer,
        }
        return [name for name, part in parts.items() if part is not None]

    def lacking(self, task: str) -> ConfigError:
        return ConfigError(
            f"this checkpoint was trained without the task {task}; it has: {', '.join(self.tasks)}"
        )

    def score(self, histories: Histories) -> FloatArray:
        if self.ranker is None:
            raise self.lacking("recommendation")
        return self.ranker.score(histories)

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        if self.searcher is None:
            raise self.lacking("search")
        return self.searcher.search(histories, queries)

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        return self.forecast(histories, item_rows) @ self.levels

    @property
    def levels(self) -> FloatArray:
        """[L] the rating scale."""
        if self.rater is None:
            raise self.lacking("rating")
        return self.rater.levels

    def forecast(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U, L] probability of every rating."""
        if self.rater is None:
            raise self.lacking("rating")
        return self.rater.distribution(histories, item_rows)

    def explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        if self.explainer is None:
            raise self.lacking("explanation")
        return self.explainer.explain(histories, item_rows)

    def select(
        self, histories: Histories, candidates: Sequence[IntArray], counts: Sequence[int]
    ) -> list[IntArray]:
        if self.selector is None:
            raise self.lacking("selection")
        return self.selector.select(histories, candidates, counts)

    def imagine(self, histories: Histories, guidance: Sequence[Query], seed: int) -> PictureArray:
        if self.imaginer is None:
            raise self.lacking("imagination")
        return self.imaginer.imagine(histories, guidance, seed)

    def heeding(self, check: Check) -> Answerer:
        """The same answerer; its writing and drawing call `check` before every step, which raises to end."""
        explainer, imaginer = self.explainer, self.imaginer
        return replace(
            self,
            explainer=None if explainer is None else replace(explainer, check=check),
            imaginer=None if imaginer is None else replace(imaginer, check=check),
        )

    def with_cache(self, cache: PrefixCache) -> Answerer:
        """The same answerer, which reads of each history only what the cache does not hold of its user.

        `Histories.user_ids` says whose a history is, "" for one of which nothing is cached.
        """
        parts: dict[str, Any] = {
            name: replace(part, cache=cache)
            for name in ("ranker", "searcher", "selector")
            if (part := getattr(self, name)) is not None
        }
        if self.rater is not None:
            parts["rater"] = self.rater.with_cache(cache)
        if self.explainer is not None:
            parts["explainer"] = replace(
                self.explainer, rater=self.explainer.rater.with_cache(cache), cache=cache
            )
        if self.imaginer is not None:
            reranker = self.imaginer.reranker
            reranker = None if reranker is None else replace(reranker, cache=cache)
            parts["imaginer"] = replace(self.imaginer, cache=cache, reranker=reranker)
        return replace(self, **parts)

    def seeing(self, visual_XVE: Tensor) -> Answerer:
        """The same answerer with further pictures to show in queries; their rows follow the catalogue's."""
        with torch.inference_mode():
            state = self.model.with_outside(self.state, visual_XVE)
        searcher, imaginer = self.searcher, self.imaginer
        if searcher is not None:
            sources = replace(searcher.sources, pictures=unit_pictures(state))
            searcher = replace(searcher, state=state, sources=sources)
        if imaginer is not None:
            reranker = imaginer.reranker
            reranker = None if reranker is None else replace(reranker, state=state)
            imaginer = replace(imaginer, state=state, reranker=reranker)
        return replace(self, state=state, searcher=searcher, imaginer=imaginer)


def unit_pictures(state: ItemState) -> FloatArray | None:
    """[I (+ X), D] the pictures' vectors at unit length, zeros where there is none."""
    if state.pictures_ID is None:
        return None
    vectors = torch.nn.functional.normalize(state.pictures_ID.float(), dim=-1)
    array: FloatArray = vectors.cpu().numpy()
    return array
