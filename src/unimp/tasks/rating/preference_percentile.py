"""Taste: how much more a user wants an item than everybody does, as its place among all items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.retrieval import ModelRanker
from unimp.inference.score_sources import ScoreSources
from unimp.model.inputs import ItemState

BATCH = 512


@dataclass(frozen=True)
class PreferencePercentile:
    """The recommendation's opinion of one item, with popularity taken out."""

    ranker: ModelRanker

    def with_items(self, state: ItemState, sources: ScoreSources) -> PreferencePercentile:
        """See `Decoder`."""
        return PreferencePercentile(self.ranker.with_items(state, sources))

    def with_prefixes(self, cache: PrefixCache) -> PreferencePercentile:
        """See `Decoder`."""
        return PreferencePercentile(self.ranker.with_prefixes(cache))

    def percentiles(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U] share of the catalogue with a smaller lift log p(item | history) - log(events + 1).

        NaN without a history: nobody's taste is known then.
        """
        popularity = np.log1p(self.ranker.sources.popularity)
        places = np.full(len(item_rows), np.nan, dtype=np.float32)
        for start in range(0, len(item_rows), BATCH):
            part = slice(start, start + BATCH)
            some = histories.slice(start, start + BATCH)
            lift = self.ranker.mixed(self.ranker.log_probabilities(some), some) - popularity
            own = lift[np.arange(len(lift)), item_rows[part]]
            places[part] = (lift < own[:, None]).mean(axis=1)
        places[histories.lengths == 0] = np.nan
        return places
