"""`FusedRanker`: a method with the second stage upon it, itself a ranker of the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unimp.answer import MethodTrainingData, Ranker
from unimp.core.config import Config
from unimp.core.errors import ConfigError
from unimp.data.histories import FloatArray, Histories
from unimp.fusion.closed import ClosedFusion, fit_closed
from unimp.fusion.cold import PlacedScores, stand_ins
from unimp.fusion.config import FusionConfig
from unimp.fusion.features import Features
from unimp.fusion.fitting import fit_learned, usable
from unimp.fusion.graphs import DENSE_ITEMS
from unimp.fusion.learned import Contribution, LearnedFusion, contributions
from unimp.fusion.pictures import picture_vectors
from unimp.fusion.probabilities import ScoreStore, log_probabilities, users_at_once
from unimp.fusion.relations import Relations, build_relations, recount
from unimp.fusion.with_validation import with_validation


class FeaturesOnlyConfig(Config):
    """There is nothing to set."""


class FeaturesOnly:
    """No model at all: what is left of a row when the second stage has only its own features."""

    config_class: ClassVar[type[Config]] = FeaturesOnlyConfig
    without_scores: ClassVar[bool] = True
    """Tells the fusion that there is no score to read."""

    def __init__(self, config: FeaturesOnlyConfig) -> None:
        self.config = config

    def fit(self, data: Any, *, seed: int, show_progress: bool = False) -> None:
        """Nothing is learnt."""

    def score(self, histories: Histories) -> FloatArray:
        """ConfigError: there is no score."""
        raise ConfigError("features: has no scores of its own; add --fusion closed or --fusion learned")


@dataclass
class FusedRanker:
    """Scores of the second stage; `relations` says why."""

    method: Ranker | None
    """None: features only."""
    relations_of: Relations
    config: FusionConfig
    exclude_history: bool
    closed: ClosedFusion | None = None
    learned: LearnedFusion | None = None
    without_scores: int = 0
    """Cases scored so far for which the method gave no score: ranked by the features alone."""
    features: Features = field(init=False)

    def __post_init__(self) -> None:
        self.features = Features(self.relations_of, with_model=self.method is not None)

    def score(self, histories: Histories) -> FloatArray:
        """[U, I]; a user without history gets the method's scores, or popularity."""
        scores = np.empty((len(histories), self.relations_of.num_items), dtype=np.float32)
        step = users_at_once(self.relations_of.num_items)
        for start in range(0, len(histories), step):
            part = histories.slice(start, start + step)
            scores[start : start + len(part)] = self._score(part)
        return scores

    def _score(self, histories: Histories) -> FloatArray:
        model = None
        if self.method is not None:
            model, scored = log_probabilities(np.asarray(self.method.score(histories), dtype=np.float32))
            self.without_scores += int((~scored).sum())
        if self.closed is not None:
            return self.closed.score(self.relations_of, histories, model)
        assert self.learned is not None
        bare = self.relations_of.popularity[None].repeat(len(histories), axis=0) if model is None else model
        scores = np.array(bare, dtype=np.float32)
        known = np.flatnonzero(histories.lengths)
        if len(known):
            scores[known] = self.learned.score(
                self.features,
                histories.select(known),
                None if model is None else model[known],
                exclude=self.exclude_history,
            )
        return scores

    def relations(self, histories: Histories, candidate: int, most: int = 3) -> list[Contribution]:
        """The relations that speak most for `candidate` after the one history given, strongest first.

        A relation's part is its features' weights times what they exceed the catalogue's mean by; those that
        speak against it are left out. ConfigError for any fusion but a learned one.
        """
        if self.learned is None:
            raise ConfigError("fusion: only a learned fusion names relations; fit it with --fusion learned")
        model = None
        if self.method is not None:
            model = log_probabilities(np.asarray(self.method.score(histories), dtype=np.float32))[0][0]
        return contributions(self.features, self.learned, histories, model, candidate)[:most]

    @property
    def details(self) -> dict[str, Any]:
        """What a result file tells of the fusion."""
        told: dict[str, Any] = {
            "settings": self.config.model_dump(mode="json"),
            "missing": list(self.relations_of.missing),
            "cases_without_scores": self.without_scores,
        }
        if self.closed is not None:
            told["terms"] = {
                name: {"weight": term.weight, "recency": term.recency}
                for name, term in self.closed.terms.items()
            }
            told["reached"] = dict(self.closed.reached)
        if self.learned is not None:
            told["features"] = list(self.features.names + self.features.close_names)
            pairs = zip(self.learned.names, self.learned.importance.tolist(), strict=True)
            told["weights"] = {name: round(weight, 5) for name, weight in pairs}
            told["reached"] = vars(self.learned.reached)
        return told


class FusionMaker:
    """Fits fusions on methods of one session; relations are counted once for all of them."""

    def __init__(
        self,
        data: MethodTrainingData,
        *,
        pictures: Callable[[], FloatArray | None] | None = None,
        cache: Path | None = None,
        dense_items: int = DENSE_ITEMS,
        show: bool = False,
    ) -> None:
        """`pictures`: makes [I, F] rows of any encoder; by default statistics of pixels, kept in `cache`.

        `dense_items`: up to so many items relations are plain arrays.
        """
        self.data, self.dense_items, self.show = data, dense_items, show
        self.pictures = pictures or (lambda: picture_vectors(data.catalog, cache=cache, show=show))
        self._relations: dict[str, Relations] = {}
        self._grown: tuple[Relations, Relations] | None = None

    def relations(self, config: FusionConfig) -> Relations:
        key = f"{config.l2} {config.decay} {config.personal}"
        if key not in self._relations:
            self._relations = {
                key: build_relations(
                    self.data.catalog,
                    self.data.train,
                    pictures=self.pictures(),
                    l2=config.l2,
                    decay=config.decay,
                    personal=config.personal,
                    dense_items=self.dense_items,
                )
            }
        return self._relations[key]

    def relations_with_validation(self, config: FusionConfig) -> Relations:
        """The relations to rank by: counted on the validation items too, which by then are known."""
        relations = self.relations(config)
        if self._grown is None or self._grown[0] is not relations:
            log = with_validation(self.data.train, self.data.valid)
            self._grown = relations, recount(relations, log, l2=config.l2, dense_items=self.dense_items)
        return self._grown[1]

    def placed(self, method: Ranker, config: FusionConfig) -> Ranker:
        """The method, its items without a training event scored by those most like them where asked for."""
        if not config.place_new_items:
            return method
        relations = self.relations(config)
        counts = np.bincount(self.data.train.item_rows, minlength=relations.num_items)
        stand_in = stand_ins(relations.likenesses.values(), counts)
        return method if stand_in is None else PlacedScores.of(method, stand_in)

    def fit(self, method: Any, config: FusionConfig) -> FusedRanker:
        """The method with the fusion upon it. ConfigError when there are no validation cases."""
        valid, exclude = self.data.valid, self.data.exclude_history
        if not len(valid):
            raise ConfigError(
                f"--fusion {config.kind}: this protocol leaves no validation cases to fit it on"
            )
        ranker = None if getattr(method, "without_scores", False) else self.placed(method, config)
        relations = self.relations(config)
        scores = None if ranker is None else ScoreStore(ranker, valid.histories, relations.num_items)
        closed, learned = None, None
        if config.kind == "closed":
            users = usable(valid, config, exclude=exclude)
            closed = fit_closed(relations, valid, users, scores, exclude=exclude)
        else:
            features = Features(relations, with_model=ranker is not None)
            learned = fit_learned(features, valid, scores, config, exclude=exclude, show=self.show)
        serving = self.relations_with_validation(config) if config.refit else relations
        return FusedRanker(ranker, serving, config, exclude, closed, learned)
