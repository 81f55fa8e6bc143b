"""`Personalizer`: a trained run, ready to answer. The public face of the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from unimp.answer import (
    Candidate,
    Drawing,
    Explanation,
    PictureArray,
    Query,
    RankedItem,
    RatingForecast,
    Recommendation,
    SearchResult,
    Selection,
)
from unimp.core.errors import ConfigError, DataError
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.data.pictures import fit_pixels, open_picture, read_upload
from unimp.data.reviews import named_aspects
from unimp.data.upserts import Fetch, NewItem
from unimp.inference.item_index import ItemIndex
from unimp.inference.retrieval import best_items
from unimp.runs.answerer import Answerer
from unimp.runs.open_run import TrainedRun, open_run
from unimp.runs.updates import check_offered, first_index, removed, upserted, with_catalog

if TYPE_CHECKING:
    from PIL.Image import Image

QUERY_LETTERS = 1000
"""Longest query in words."""
MOST_CANDIDATES = 1000
MOST_PICTURES = 64


@dataclass(frozen=True)
class Personalizer:
    """Answers for any user: one of the data (`user=`), or any `history=` of item ids, oldest first.

    Every method raises DataError for an unknown item or user, ConfigError for a request that cannot be
    answered; an empty history is a cold start, and the answer says so.
    """

    run: TrainedRun
    answerer: Answerer
    index: ItemIndex | None = field(default=None, kw_only=True, repr=False)
    """The items, since the first change of the catalogue; None: those of training."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks this checkpoint was trained for."""
        return self.run.artifacts.recipe.tasks

    def upsert_items(self, items: Sequence[NewItem], *, in_place: bool = False) -> Self:
        """A personalizer with these items inserted, or replaced; this one goes on answering without them.

        A new item is answered with by its content alone, without training. DataError for an attribute that
        the data do not have. `in_place`: replace without a copy of the tables; then this one, and all
        that was made of it, must not be used any more.
        """
        index = self.index or first_index(self.run)
        return self._over(*upserted(self.run, index, items, in_place=in_place))

    def remove_items(self, item_ids: Sequence[str]) -> Self:
        """A personalizer that never recommends, finds or selects these items; histories may still hold them.

        DataError for an unknown item. Upserting an item brings it back.
        """
        index = self.index or first_index(self.run)
        return self._over(self.run, removed(self.run, index, item_ids))

    def with_fetch(self, fetch: Fetch) -> Self:
        """The personalizer that reads the picture files of upserted items with `fetch`."""
        run = with_catalog(self.run, self.run.dataset.catalog.with_fetch(fetch))
        return self._over(run, self.index or first_index(run))

    def _over(self, run: TrainedRun, index: ItemIndex) -> Self:
        answerer = run.artifacts.answerer(run.model, run.weights_by_task, index=index)
        return replace(self, run=run, answerer=answerer, index=index)

    def item_pixels(self, picture: bytes, item_id: str) -> PictureArray | None:
        """An item's picture at the model's size, for `NewItem`; None for a model that reads no pictures."""
        artifacts = self.run.artifacts
        if artifacts.visual_width is None:
            return None
        return fit_pixels(open_picture(picture, f'item "{item_id}"'), *artifacts.picture_size)

    def score(self, histories: Histories) -> FloatArray:
        """[U, num_items] scores of every item (satisfies `Ranker`)."""
        return self.answerer.score(histories)

    def recommend(
        self,
        history: Sequence[str] | None = None,
        *,
        user: str | None = None,
        k: int = 10,
        exclude_history: bool = True,
    ) -> Recommendation:
        """The k best next items, from the whole catalogue, in falling order of score."""
        histories = self.histories(history, user)
        items = self._best(self.score(histories)[0], histories, k, exclude_history)
        return Recommendation(items, self._names(histories), cold_start=not histories.num_events)

    def search(
        self,
        text: str = "",
        picture: bytes | Path | Image | None = None,
        *,
        history: Sequence[str] | None = None,
        user: str | None = None,
        k: int = 10,
        exclude_history: bool = True,
    ) -> SearchResult:
        """The k items that answer words, a picture, or both, in this user's taste."""
        histories = self.histories(history, user)
        answerer, query = self._query(text, picture)
        scores = answerer.search(histories, [query])[0]
        items = self._best(scores, histories, k, exclude_history)
        return SearchResult(
            items, query.text, query.has_picture, self._names(histories), not histories.num_events
        )

    def rate(
        self, item: str, *, history: Sequence[str] | None = None, user: str | None = None
    ) -> RatingForecast:
        """The rating that the user is expected to give the item: mean and distribution."""
        histories, row = self.histories(history, user), self._row(item)
        probabilities = self.answerer.forecast(histories, np.array([row]))[0]
        levels = self.answerer.levels
        return RatingForecast(
            item,
            self.run.dataset.catalog.label(row),
            float(probabilities @ levels),
            tuple(levels.tolist()),
            tuple(probabilities.tolist()),
            self._names(histories),
            not histories.num_events,
        )

    def explain(
        self, item: str, *, history: Sequence[str] | None = None, user: str | None = None
    ) -> Explanation:
        """Why the item suits the user, in words, with the rating as a number."""
        histories, row = self.histories(history, user), self._row(item)
        answer = self.answerer.explain(histories, np.array([row]))[0]
        context = self.run.artifacts.context
        return Explanation(
            item,
            self.run.dataset.catalog.label(row),
            answer.text,
            answer.rating,
            tuple(
                name for name in named_aspects(answer.text, context.lexicon) if name in context.aspects[row]
            ),
            self._names(histories),
            not histories.num_events,
        )

    def select(
        self,
        candidates: Sequence[str],
        *,
        count: int | None = 1,
        history: Sequence[str] | None = None,
        user: str | None = None,
    ) -> Selection:
        """The `count` candidates that suit the user best; None lets the model say how many.

        The order of the candidates does not matter; one that is named twice is one candidate.
        """
        ids = list(dict.fromkeys(candidates))
        if not 1 <= len(ids) <= MOST_CANDIDATES:
            raise ConfigError(f"candidates: give 1 to {MOST_CANDIDATES} different items (got {len(ids)})")
        if count is not None and not 1 <= count <= len(ids):
            raise ConfigError(f"count: must be 1 to {len(ids)}, the number of candidates (got {count})")
        check_offered(self.run, self.index, ids)
        histories = self.histories(history, user)
        # In the catalogue's order, whatever the order given: the answer cannot depend on it.
        rows = np.array(sorted(self.run.dataset.catalog.rows(ids)), dtype=np.int64)
        selector = self.answerer.selector
        if selector is None:
            raise self.answerer.lacking("selection")
        places = selector.select(histories, [rows], [count or 0])[0]
        probabilities = dict(zip(rows.tolist(), selector.probabilities(histories, rows), strict=True))
        catalog = self.run.dataset.catalog
        chosen = tuple(catalog.item_ids[row] for row in rows[places].tolist())
        return Selection(
            tuple(
                Candidate(item_id, catalog.label(row), float(probabilities[row]), item_id in chosen)
                for item_id, row in zip(ids, catalog.rows(ids), strict=True)
            ),
            chosen,
            self._names(histories),
            not histories.num_events,
        )

    def imagine(
        self,
        text: str = "",
        *,
        attributes: dict[str, str] | None = None,
        count: int = 1,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        history: Sequence[str] | None = None,
        user: str | None = None,
    ) -> Drawing:
        """Pictures of what words and attributes ask for, in the user's taste, drawn by seed."""
        if not 1 <= count <= MOST_PICTURES:
            raise ConfigError(f"count: must be 1 to {MOST_PICTURES} pictures (got {count})")
        histories = self.histories(history, user)
        imaginer = self.answerer.imaginer
        if imaginer is None:
            raise self.answerer.lacking("imagination")
        asked = {"temperature": temperature, "top_p": top_p}
        sampling = imaginer.sampling.changed(**{k: v for k, v in asked.items() if v is not None})
        known = self._known_attributes(attributes or {})
        words = " ".join([*known.values(), *([text.strip()] if text.strip() else [])])
        several = histories.select(np.zeros(count, dtype=np.int64))
        drawn = replace(imaginer, sampling=sampling).imagine(several, [Query(checked(words))] * count, seed)
        return Drawing(tuple(drawn), text, known, seed, self._names(histories), not histories.num_events)

    def _known_attributes(self, attributes: dict[str, str]) -> dict[str, str]:
        """The attributes as the catalogue writes them; DataError names an unknown one and the nearest."""
        return {
            name: self.run.artifacts.context.queries.known(name, value) for name, value in attributes.items()
        }

    def _query(self, text: str, picture: bytes | Path | Image | None) -> tuple[Answerer, Query]:
        """The query, and an answerer that can see its picture."""
        if picture is None:
            if not text.strip():
                raise ConfigError("query: empty; give words, a picture, or both")
            return self.answerer, Query(checked(text.strip()))
        artifacts = self.run.artifacts
        pixels = fit_pixels(read_upload(picture), *artifacts.picture_size)
        visual = artifacts.see(self.answerer.model, pixels[None])
        row = len(self.run.dataset.catalog)
        return self.answerer.seeing(visual), Query(checked(text.strip()), picture_row=row)

    def _best(
        self, scores: FloatArray, histories: Histories, k: int, exclude_history: bool
    ) -> tuple[RankedItem, ...]:
        if k < 1:
            raise ConfigError(f"k: must be at least 1 (got {k})")
        if exclude_history:
            scores[histories.item_rows] = -np.inf
        return best_items(self.run.dataset.catalog, scores[None], [k])[0]

    def _row(self, item: str) -> int:
        return self.run.dataset.catalog.rows([item])[0]

    def _names(self, histories: Histories) -> tuple[str, ...]:
        return names(self.run.dataset.catalog.item_ids, histories.item_rows)

    def histories(self, history: Sequence[str] | None, user: str | None) -> Histories:
        """One user's history: the given one, or that of a user of the data; both missing is a cold start."""
        if history is not None and user is not None:
            raise ConfigError("give either a user or a history, not both")
        if user is not None:
            return self._user_histories(user)
        return Histories.from_lists([self.run.dataset.catalog.rows(list(history or ()))])

    def _user_histories(self, user: str) -> Histories:
        interactions = self.run.dataset.interactions
        position = interactions.user_position.get(user)
        if position is None:
            known = len(interactions.histories)
            raise DataError(
                f'unknown user "{user}" (the data has {known:,}); check the id, or give a history'
            )
        return interactions.histories.select([position])


def names(item_ids: Sequence[str], rows: IntArray) -> tuple[str, ...]:
    return tuple(item_ids[row] for row in rows.tolist())


def checked(text: str) -> str:
    """The words of a query; ConfigError when there are too many."""
    if len(text) > QUERY_LETTERS:
        raise ConfigError(f"query: {len(text):,} letters, at most {QUERY_LETTERS:,}; shorten it")
    return text


def load(run: Path | str, *, data: Path | str | None = None, device: str = "auto") -> Personalizer:
    """Open a trained run folder; `data` names the data folder when it has moved since."""
    opened = open_run(run, data=data, device=device)
    return Personalizer(opened, opened.answerer)
