"""`Personalizer`: a trained run, ready to answer. The public face of the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimp.answer import RankedItem, Recommendation
from unimp.data.histories import FloatArray, Histories
from unimp.decode.answerer import Answerer
from unimp.errors import ConfigError, DataError
from unimp.train.run import TrainedRun, open_run


@dataclass(frozen=True)
class Personalizer:
    """Answers for any user: one of the data (`user=`), or any `history=` of item ids, oldest first."""

    run: TrainedRun
    answerer: Answerer

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks this checkpoint was trained for."""
        return self.run.bench.recipe.tasks

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
        """The k best next items, from the whole catalogue, in falling order of score.

        An empty history is a cold start: the answer says so. Raises DataError for an unknown item or user.
        """
        if k < 1:
            raise ConfigError(f"k: must be at least 1 (got {k})")
        histories = self._histories(history, user)
        rows = histories.item_rows.tolist()
        scores = self.score(histories)[0]
        if exclude_history:
            scores[rows] = -np.inf
        k = min(k, len(scores))
        best = np.argpartition(-scores, k - 1)[:k]
        best = best[np.lexsort((best, -scores[best]))]
        catalog = self.run.dataset.catalog
        items = tuple(
            RankedItem(catalog.item_ids[row], catalog.label(row), float(scores[row]))
            for row in best.tolist()
            if np.isfinite(scores[row])
        )
        return Recommendation(items, tuple(catalog.item_ids[row] for row in rows), cold_start=not rows)

    def _histories(self, history: Sequence[str] | None, user: str | None) -> Histories:
        if history is not None and user is None:
            return Histories.from_lists([self.run.dataset.catalog.rows(list(history))])
        if user is not None and history is None:
            return self._user_histories(user)
        raise ConfigError("give either a user or a history, not both and not neither")

    def _user_histories(self, user: str) -> Histories:
        interactions = self.run.dataset.interactions
        position = interactions.user_position.get(user)
        if position is None:
            known = len(interactions.histories)
            raise DataError(
                f'unknown user "{user}" (the data has {known:,}); check the id, or give a history'
            )
        return interactions.histories.select([position])


def load(run: Path | str, *, data: Path | str | None = None, device: str = "auto") -> Personalizer:
    """Open a trained run folder; `data` names the data folder when it has moved since."""
    opened = open_run(run, data=data, device=device)
    return Personalizer(opened, opened.answerer)
