"""`Stock`: a personalizer whose catalogue grows: an item that is put is answered with at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from unimp.answer import PictureArray
from unimp.data.catalog import Attribute, Catalog
from unimp.data.growing import Fetch, GrowingCatalog
from unimp.data.histories import Histories, IntArray
from unimp.data.pictures import fit_pixels, open_picture
from unimp.data.reviews import AspectLexicon, item_aspects
from unimp.features.item_graph import ItemGraph
from unimp.features.text import item_terms
from unimp.inference.growing import (
    GrowingContentGraph,
    GrowingLog,
    GrowingRows,
    GrowingState,
    GrowingText,
    GrowingWordMatch,
    PutItems,
)
from unimp.inference.score_sources import ScoreSources
from unimp.model.inputs import ItemState
from unimp.personalizer import Personalizer
from unimp.runs.answerer import unit_pictures
from unimp.sentence.template import Template
from unimp.tasks import load_tasks
from unimp.tasks.context import TaskContext
from unimp.tasks.queries import QueryMaker

PICTURES_AT_ONCE = 64
CONTENT = "content"
"""The graph of likeness of content; every other graph comes from the log."""


@dataclass(frozen=True)
class NewItem:
    """An item as it is put."""

    item_id: str
    attributes: Mapping[str, str]
    """By name; all of them: what is left out is missing from now on."""
    picture: PictureArray | None = None
    """[Y, X, 3] as `Stock.pixels` makes them; None leaves the picture that was there."""
    pictured: bool = False
    """It has a picture, though the model sees none."""


@dataclass(frozen=True)
class GrowingContext(TaskContext):
    """Material over a growing catalogue; what was learned from the log stays the trained one's."""

    trained: TaskContext = field(kw_only=True)
    put_rows: set[int] = field(default_factory=set, kw_only=True)

    @cached_property
    def queries(self) -> QueryMaker:
        return self.trained.queries

    @cached_property
    def lexicon(self) -> AspectLexicon:
        return self.trained.lexicon

    @cached_property
    def has_reviews(self) -> bool:
        return self.trained.has_reviews

    @cached_property
    def has_ratings(self) -> bool:
        return self.trained.has_ratings

    def review_sentence(self, event_row: int) -> str | None:
        return self.trained.review_sentence(event_row)

    @cached_property
    def aspects(self) -> list[frozenset[str]]:
        found = [*self.trained.aspects]
        found += [frozenset()] * (len(self.catalog) - len(found))
        for row in self.put_rows:
            found[row] = self.aspects_of(row)
        return found

    def renew(self, row: int) -> None:
        """The item was put."""
        self.put_rows.add(row)
        if "aspects" in vars(self):
            self.aspects.extend([frozenset()] * (row + 1 - len(self.aspects)))
            self.aspects[row] = self.aspects_of(row)

    def aspects_of(self, row: int) -> frozenset[str]:
        """What training reviews and the item's present attributes name of one item."""
        assert self.events is not None
        train, met = self.train, np.flatnonzero(self.train.item_rows == row)
        reviews = Histories(
            np.array(["-"]),
            np.array([0, len(met)]),
            np.zeros(len(met), dtype=np.int64),
            train.ratings[met],
            train.times[met],
            train.event_rows[met],
        )
        return item_aspects(reviews, self.events, self.lexicon, alone(self.catalog, row))[0]


def alone(catalog: Catalog, row: int) -> Catalog:
    """One item's words as a catalogue of their own."""
    texts = {a.name: catalog.texts[a.name][row] for a in catalog.attributes if a.kind != "number"}
    columns = {"item_id": [catalog.item_ids[row]], "picture": [None]} | {n: [t] for n, t in texts.items()}
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))
    return Catalog(table, tuple(Attribute(name, "text") for name in texts))


class Stock:
    """Binds a personalizer to a catalogue that grows. The personalizer it was made from stays as it is.

    Putting and asking must not overlap: a service does both in the model's thread.
    """

    def __init__(self, trained: Personalizer, fetch: Fetch = lambda _: None) -> None:
        run = trained.run
        self.catalog = GrowingCatalog.of(run.dataset.catalog, fetch)
        artifacts = run.artifacts
        self.template = Template(self.catalog, artifacts.recipe.sentence)
        known = {
            one: value for one, value in vars(artifacts.context).items() if one in TaskContext.__match_args__
        }
        self.context = GrowingContext(
            **(known | {"catalog": self.catalog, "template": self.template}), trained=artifacts.context
        )
        self.artifacts = replace(
            artifacts, context=self.context, tasks=load_tasks(artifacts.recipe.tasks, self.context)
        )
        self.answerer = self.artifacts.answerer(run.model, run.weights_by_task)
        state = self.answerer.state
        self.items = GrowingState(run.model, artifacts.items, state)
        self.popularity = GrowingRows(torch.from_numpy(artifacts.popularity))
        units = unit_pictures(state)
        self.units = None if units is None else GrowingRows(torch.from_numpy(units))
        self.item_text = artifacts.item_text
        told = artifacts.items.content.get("text")
        self.text = None if told is None else GrowingText(told.cpu().numpy())
        self.words = None if artifacts.word_match is None else GrowingWordMatch(artifacts.word_match)
        dataset = replace(run.dataset, catalog=self.catalog)
        self.run = replace(run, artifacts=self.artifacts, dataset=dataset)
        self._renew(state)

    @property
    def personalizer(self) -> Personalizer:
        """As it answers now."""
        return Personalizer(self.run, self.answerer)

    def pixels(self, picture: bytes, item_id: str) -> PictureArray | None:
        """A picture's file at the size the model sees; None for a model that sees none. May run anywhere."""
        if self.artifacts.visual_width is None:
            return None
        return fit_pixels(open_picture(picture, f'item "{item_id}"'), *self.artifacts.picture_size)

    def put(self, items: Sequence[NewItem]) -> IntArray:
        """Insert or replace items; their rows, each once. Of an item that is named twice the last counts."""
        for item in items:
            self.catalog.check_attributes(item.item_id, item.attributes)
        visual = self._seen({item.item_id: item.picture for item in items if item.picture is not None})
        rows: dict[int, None] = {}
        for item in items:
            shown = item.pictured or item.picture is not None
            row = self.catalog.put(item.item_id, item.attributes, picture=shown)
            rows[row] = None
            self.template.renew(row)
            self._renew_words(row)
        put_rows = np.array(list(rows), dtype=np.int64)
        if len(put_rows):
            row_of = self.catalog.row_of
            self._put(put_rows, {row_of[item_id]: tokens for item_id, tokens in visual.items()})
        return put_rows

    def _put(self, rows: IntArray, visual: Mapping[int, Tensor]) -> None:
        text_NF = None
        if self.item_text is not None and self.text is not None:
            text_NF = self.item_text.project(self.catalog, rows.tolist())
            self.text.put(rows, text_NF)
        if self.words is not None:
            self.words.put(rows, item_terms(self.catalog, rows.tolist()))
        new = torch.from_numpy(rows[rows >= self.popularity.count])
        if len(new):
            self.popularity.put(new, torch.zeros(len(new)))
        state = self.items.put(PutItems(rows, text_NF, visual))
        if self.units is not None and state.pictures_ID is not None:
            chosen = torch.from_numpy(rows)
            units = unit_pictures(replace(state, pictures_ID=state.pictures_ID[chosen]))
            assert units is not None
            self.units.put(chosen, torch.from_numpy(units))
        self._renew(state)

    def _seen(self, pictures: Mapping[str, PictureArray]) -> dict[str, Tensor]:
        """Item id -> visual tokens, a few pictures at a time."""
        found: dict[str, Tensor] = {}
        names = list(pictures)
        for start in range(0, len(names), PICTURES_AT_ONCE):
            some = names[start : start + PICTURES_AT_ONCE]
            tokens = self.artifacts.see(self.run.model, np.stack([pictures[name] for name in some]))
            found |= dict(zip(some, tokens, strict=True))
        return found

    def remake(self) -> None:
        """Every item's vector anew, as a service has to that keeps nothing: for measurements."""
        if self.items.table.count == len(self.items.first.table_ID):
            with torch.inference_mode():
                self._renew(self.run.model.item_state(self.artifacts.items))

    def _renew_words(self, row: int) -> None:
        self.context.renew(row)
        self.answerer.forget_items(np.array([row], dtype=np.int64))

    def _renew(self, state: ItemState) -> None:
        """Every part answers from the new state and the new sources."""
        units = None if self.units is None else self.units.rows.numpy()
        sources = ScoreSources(self.popularity.rows.numpy(), self._graphs(), self.words, units)
        self.answerer = self.answerer.with_items(state, sources)

    def _graphs(self) -> dict[str, ItemGraph]:
        config, num_rows = self.artifacts.recipe.structure, self.popularity.count
        graphs: dict[str, ItemGraph] = {}
        for name, graph in self.artifacts.graphs.items():
            if name == CONTENT and self.text is not None:
                limits: dict[str, Any] = {
                    "threshold": config.content_threshold,
                    "neighbours": config.content_neighbours,
                }
                graphs[name] = GrowingContentGraph(graph.weights, num_rows, self.text, **limits)
            else:
                graphs[name] = GrowingLog(graph.weights, num_rows)
        return graphs
