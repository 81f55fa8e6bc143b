"""The simple references of every task, fitted on the training part of a run's own split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unimp.answer import PictureArray, Query
from unimp.data.histories import Histories
from unimp.runs.open_run import TrainedRun
from unimp.tasks.explanation.references import FrequentSentence, RetrievedSentence
from unimp.tasks.image_generation.decoder import ModelImageGenerator
from unimp.tasks.image_generation.picture_judge import PictureJudge
from unimp.tasks.image_generation.references import NearestPicture
from unimp.tasks.rating.factors import BiasedMF
from unimp.tasks.rating.references import GlobalMean, ItemMean, UserMean
from unimp.tasks.search.references import Bm25, DenseText
from unimp.tasks.selection.references import ContentSelector, PopularitySelector
from unimp.tasks.task import Task


@dataclass(frozen=True)
class NonPersonal:
    """The same model, told the words but not the history."""

    imaginer: ModelImageGenerator

    def imagine(self, histories: Histories, guidance: Sequence[Query], seed: int) -> PictureArray:
        return self.imaginer.imagine(histories.first(0), guidance, seed)


def references(run: TrainedRun, task: Task, judge: PictureJudge | None = None) -> dict[str, Any]:
    """Name -> an answerer of the task's own protocol. Recommendation's are those of `unimp bench`."""
    artifacts, train, context = run.artifacts, run.artifacts.context.train, run.artifacts.context
    match task.name:
        case "search":
            found: dict[str, Any] = {"BM25": Bm25.fit(context.catalog)}
            if artifacts.text is not None:
                found["dense text"] = DenseText.fit(context.catalog)
            return found
        case "rating":
            return {
                "global mean": GlobalMean.fit(train),
                "user mean": UserMean.fit(train),
                "item mean": ItemMean.fit(train),
                "biased MF": BiasedMF.fit(train, seed=0),
            }
        case "selection":
            found = {"popularity": PopularitySelector.fit(train)}
            for name, block in content_of(run).items():
                found[f"content ({name})"] = ContentSelector.of(block)
            return found
        case "explanation":
            assert context.events is not None
            return {
                "most frequent sentence": FrequentSentence.fit(train, context.events, context.lexicon),
                "retrieved sentence": RetrievedSentence.fit(
                    train, context.events, context.lexicon, len(context.catalog)
                ),
            }
        case "imagination" if judge is not None and run.answerer.imaginer is not None:
            return {
                "without history": NonPersonal(run.answerer.imaginer),
                "nearest real picture": NearestPicture.fit(context.catalog, judge.pixels),
            }
    return {}


def content_of(run: TrainedRun) -> dict[str, np.ndarray]:
    """Text and pooled pictures of the items, as the model is given them."""
    items = run.artifacts.items
    found = {}
    if "text" in items.content:
        found["text"] = items.content["text"].cpu().numpy()
    if items.visual_IVE is not None:
        pooled = items.visual_IVE.float().mean(dim=1).cpu().numpy()
        found["picture"] = pooled - pooled.mean(axis=0)
    return found
