"""`ItemIndex`: the item side of a trained model; items are upserted and removed without training."""

# I items, N changed at once, D width, V visual tokens per picture, E visual width, F width of the text block

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import FloatArray, IntArray
from unimp.features.cross_modal import CrossModalMatch
from unimp.features.item_graph import ItemGraph
from unimp.features.photo_match import PhotoMatch
from unimp.features.text import WordMatch
from unimp.inference.candidates import CandidateSearch, ItemVectors, rows_of_tensor
from unimp.inference.extended_sources import ExtendedContentGraph, ExtendedGraph, ExtendedWordMatch
from unimp.inference.score_sources import ScoreSources
from unimp.inference.tensor_rows import TensorRows
from unimp.model.inputs import ItemInputs, ItemState
from unimp.model.unimp import UnimpModel

CONTENT = "content"
"""The graph of likeness of content; every other graph comes from the log."""


@dataclass(frozen=True)
class ItemContent:
    """What is known of N items from outside the log."""

    rows: IntArray
    """[N] each once."""
    item_ids: Sequence[str]
    """[N]."""
    text_NF: FloatArray | None
    terms: list[list[str]]
    """[N] words, as `features.text.item_terms` gives them."""
    visual: Mapping[int, Tensor]
    """Row -> [V, E] visual tokens of its new picture; rows without one keep what they have."""
    thumbnails: Mapping[int, Tensor] = field(default_factory=dict)
    """Row -> its new picture as `PhotoMatch` compares it."""


@dataclass(frozen=True)
class ContentLimits:
    """Which items are alike, as in the recipe's `structure`."""

    threshold: float
    neighbours: int


@dataclass(frozen=True)
class ItemIndex:
    """Vectors, pictures and score sources of all items. A change makes a new index, this one stays as it is.

    A new item has identity 0: its content alone makes its vector. One that training knew keeps its identity,
    and what the log says of it.
    """

    model: UnimpModel
    items: ItemInputs
    """Of training."""
    trained: ItemState
    limits: ContentLimits
    table: TensorRows
    """[I, D]."""
    visual: TensorRows | None
    """[I, V, E]."""
    pictures: TensorRows | None
    """[I, D] each picture's part in its item's vector."""
    unit_pictures: TensorRows | None
    """[I, D] the same at unit length."""
    text: TensorRows | None
    """[I, F]."""
    popularity: TensorRows
    """[I] training events."""
    words: WordMatch | None
    graphs: Mapping[str, ItemGraph]
    """Of training."""
    changed_rows: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Rows that were upserted, in rising order."""
    removed: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Rows that must not be answered with, in rising order."""
    new_ids: Mapping[int, str] = field(default_factory=dict)
    """Row -> id of the items that training did not know."""
    nearest: CandidateSearch | None = None
    """Proposes what is scored; None: all items."""
    thumbnails: TensorRows | None = None
    """[I, 3, S, S] what pictures are known again by; None: by their vectors alone."""
    has_thumbnail: TensorRows | None = None
    """[I] bool."""
    cross_modal: CrossModalMatch | None = None
    """Of training."""
    placed: TensorRows | None = None
    """[I, K] pictures in its space."""

    @classmethod
    def of_trained(
        cls,
        model: UnimpModel,
        items: ItemInputs,
        state: ItemState,
        sources: ScoreSources,
        limits: ContentLimits,
    ) -> ItemIndex:
        """The index before any change; what it is made of is never written to."""
        text, photos, cross_modal = items.content.get("text"), sources.photos, sources.cross_modal
        return cls(
            model,
            items,
            state,
            limits,
            TensorRows(state.table_ID),
            None if state.visual_IVE is None else TensorRows(state.visual_IVE),
            None if state.pictures_ID is None else TensorRows(state.pictures_ID),
            None if sources.pictures is None else TensorRows(torch.from_numpy(sources.pictures)),
            None if text is None else TensorRows(text.cpu().float()),
            TensorRows(torch.from_numpy(sources.popularity)),
            sources.words,
            sources.graphs,
            nearest=sources.nearest,
            thumbnails=None if photos is None else TensorRows(photos.thumbnails_I3YX),
            has_thumbnail=None if photos is None else TensorRows(photos.present_I),
            cross_modal=cross_modal,
            placed=None if cross_modal is None else TensorRows(torch.from_numpy(cross_modal.placed_IK)),
        )

    def __len__(self) -> int:
        return self.popularity.count

    @cached_property
    def state(self) -> ItemState:
        """As the model reads it."""
        return replace(
            self.trained,
            table_ID=self.table.rows,
            visual_IVE=None if self.visual is None else self.visual.rows,
            pictures_ID=None if self.pictures is None else self.pictures.rows,
        )

    @cached_property
    def sources(self) -> ScoreSources:
        """Scores of all items; for queries too."""
        units = None if self.unit_pictures is None else self.unit_pictures.rows.numpy()
        graphs = {name: self._graph(name, graph) for name, graph in self.graphs.items()}
        popularity = self.popularity.rows.numpy()
        photos = None
        if self.thumbnails is not None and self.has_thumbnail is not None:
            photos = PhotoMatch(self.thumbnails.rows, self.has_thumbnail.rows)
        cross_modal = self.cross_modal
        if cross_modal is not None and self.placed is not None:
            cross_modal = replace(cross_modal, placed_IK=self.placed.rows.numpy())
        return ScoreSources(
            popularity,
            graphs,
            self.words,
            units,
            self.removed,
            self.nearest,
            self.new_ids,
            photos,
            cross_modal,
        )

    def _graph(self, name: str, graph: ItemGraph) -> ItemGraph:
        if name == CONTENT and self.text is not None:
            content_IF, limits = self.text.rows.numpy(), self.limits
            return ExtendedContentGraph(
                graph.weights, content_IF, self.changed_rows, limits.threshold, limits.neighbours
            )
        return ExtendedGraph(graph.weights, len(self))

    @torch.inference_mode()
    def upsert(self, content: ItemContent, *, in_place: bool = False) -> ItemIndex:
        """The index with N items inserted, or replaced; one that was removed is there again.

        Inserting costs what is inserted; replacing copies the tables, unless `in_place`: then this index, and
        all that was made of it, must not be used any more.
        """
        rows = content.rows
        device = self.trained.table_ID.device
        rows_N = torch.from_numpy(rows).to(device)
        changed: dict[str, Any] = self._pictures(rows_N, content.visual, in_place=in_place)
        changed |= self._thumbnails(torch.from_numpy(rows), content.thumbnails, in_place=in_place)
        vectors_ND = self._trained_parts(rows_N)
        known: dict[str, Tensor] = {}
        if content.text_NF is not None:
            text_NF = torch.from_numpy(content.text_NF)
            known["text"] = text_NF.to(device)
            vectors_ND = vectors_ND + self.model.items.known_by_content(known)
            if self.text is not None:
                changed["text"] = self.text.with_rows(torch.from_numpy(rows), text_NF, in_place=in_place)
        pictures = changed.get("pictures", self.pictures)
        vectors_ND = self.model.with_likeness(vectors_ND, known)
        if pictures is not None:
            width, parts_ND = self.model.width, pictures.rows[rows_N]
            vectors_ND[:, :width] += parts_ND[:, :width]
            alike = parts_ND.shape[1] - width
            vectors_ND[:, width : width + alike] = parts_ND[:, width:]
        changed["table"] = self.table.with_rows(rows_N, vectors_ND, in_place=in_place)
        new = torch.from_numpy(rows[rows >= len(self)])
        if len(new):
            changed["popularity"] = self.popularity.with_rows(new, torch.zeros(len(new)))
        words = self.words
        if words is not None:
            extended = words if isinstance(words, ExtendedWordMatch) else ExtendedWordMatch(words)
            words = extended.with_items(rows, content.terms)
        grown = replace(
            self,
            **changed,
            words=words,
            changed_rows=np.union1d(self.changed_rows, rows),
            removed=np.setdiff1d(self.removed, rows),
            new_ids={**self.new_ids, **self._new_among(content)},
        )
        return grown if self.nearest is None else replace(grown, nearest=grown._nearest_with(rows))

    def _new_among(self, content: ItemContent) -> dict[int, str]:
        """Row -> id of the items that this index does not have."""
        named = zip(content.rows.tolist(), content.item_ids, strict=True)
        return {row: item_id for row, item_id in named if row >= len(self)}

    def _nearest_with(self, rows: IntArray) -> CandidateSearch | None:
        """The search that finds these rows as they are in this version."""
        if self.nearest is None:
            return None
        scale = self.nearest.popularity_scale
        vectors = ItemVectors(self.table.rows, self.popularity.rows.numpy(), scale)
        pictures = None if self.unit_pictures is None else rows_of_tensor(self.unit_pictures.rows)
        return self.nearest.upsert(rows, vectors.rows, pictures)

    def remove(self, rows: IntArray) -> ItemIndex:
        """The index that never answers with these items. Their rows stay: histories may hold them."""
        nearest = None if self.nearest is None else self.nearest.remove(rows)
        return replace(self, removed=np.union1d(self.removed, rows).astype(np.int64), nearest=nearest)

    def _pictures(self, rows_N: Tensor, visual: Mapping[int, Tensor], *, in_place: bool) -> dict[str, Any]:
        """The picture tables that change, by the name of their field."""
        if self.visual is None:
            return {}
        tables = {"visual": self.visual}
        if self.pictures is not None and self.unit_pictures is not None:
            tables |= {"pictures": self.pictures, "unit_pictures": self.unit_pictures}
        if self.placed is not None:
            tables["placed"] = self.placed
        missing_N = rows_N[rows_N >= self.visual.count]
        if len(missing_N):  # rows of their own, for items without a picture too
            for name, table in tables.items():
                zeros = table.rows.new_zeros(len(missing_N), *table.rows.shape[1:])
                tables[name] = table.with_rows(missing_N.to(table.rows.device), zeros)
        if visual:
            shown_P = torch.tensor(list(visual), device=rows_N.device)
            tokens_PVE = torch.stack(list(visual.values())).to(tables["visual"].rows)
            values = {"visual": tokens_PVE}
            if "pictures" in tables:
                present_P = torch.ones(len(shown_P), dtype=torch.bool, device=rows_N.device)
                pooled = self.model.picture_norm(tokens_PVE, present_P)
                values["pictures"] = self.model.picture_parts(pooled)
                values["unit_pictures"] = self.model.unit_pictures(values["pictures"])
            if self.cross_modal is not None:
                values["placed"] = torch.from_numpy(self.cross_modal.place(tokens_PVE))
            for name, value in values.items():
                table = tables[name]
                places_P = shown_P.to(table.rows.device)
                # rows that were added above belong to nobody else yet
                fresh = bool((places_P >= self.visual.count).all())
                tables[name] = table.with_rows(places_P, value, in_place=in_place or fresh)
        return tables

    def _thumbnails(self, rows_N: Tensor, new: Mapping[int, Tensor], *, in_place: bool) -> dict[str, Any]:
        """The tables of thumbnails with those of new pictures, by the name of their field."""
        small, has = self.thumbnails, self.has_thumbnail
        if small is None or has is None:
            return {}
        missing_N = rows_N[rows_N >= small.count]
        fresh = in_place or not any(row < small.count for row in new)
        if len(missing_N):
            small = small.with_rows(missing_N, small.rows.new_zeros(len(missing_N), *small.rows.shape[1:]))
            has = has.with_rows(missing_N, has.rows.new_zeros(len(missing_N)))
        if new:
            places_P = torch.tensor(list(new))
            small = small.with_rows(places_P, torch.stack(list(new.values())), in_place=fresh)
            has = has.with_rows(places_P, has.rows.new_ones(len(places_P)), in_place=fresh)
        return {"thumbnails": small, "has_thumbnail": has}

    def _trained_parts(self, rows_N: Tensor) -> Tensor:
        """[N, D] identity, and content that only training could know; 0 for a new item."""
        identity = self.model.items.identity.weight
        known_N = rows_N < len(identity)
        places_N = rows_N.clamp(max=len(identity) - 1)
        vectors_ND = identity[places_N]
        kept = {n: block[places_N] for n, block in self.items.content.items() if n not in {"text", "picture"}}
        if kept:
            vectors_ND = vectors_ND + self.model.items.known_by_content(kept)
        return vectors_ND * known_N.unsqueeze(-1)
