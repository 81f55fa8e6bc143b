"""A trained run whose catalogue changes: new versions of the run and of its item index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from unimp.answer import PictureArray
from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import IntArray
from unimp.data.upserts import NewItem
from unimp.features.photo_match import thumbnails_of
from unimp.features.text import item_terms
from unimp.inference.item_index import ContentLimits, ItemContent, ItemIndex
from unimp.runs.answerer import Answerer
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.open_run import TrainedRun

PICTURES_AT_ONCE = 64


def first_index(run: TrainedRun, answerer: Answerer) -> ItemIndex:
    """The index of the items that the run was trained with, as its answerer has them."""
    config = run.artifacts.recipe.structure
    limits = ContentLimits(config.content_threshold, config.content_neighbours)
    return ItemIndex.of_trained(run.model, run.artifacts.items, answerer.state, answerer.sources, limits)


def upserted(
    run: TrainedRun, index: ItemIndex, items: Sequence[NewItem], *, in_place: bool = False
) -> tuple[TrainedRun, ItemIndex]:
    """The run and the index with these items inserted, or replaced; of an item named twice the last counts.

    DataError for an attribute that the catalogue does not have. `in_place` as in `ItemIndex.upsert`.
    """
    catalog = run.dataset.catalog.with_items(items)
    shown = {item.item_id: item.picture for item in items if item.picture is not None}
    visual = visual_tokens(run, shown)
    rows = np.array(catalog.rows(list(dict.fromkeys(item.item_id for item in items))), dtype=np.int64)
    if len(rows):
        by_row = {catalog.row_of[item_id]: tokens for item_id, tokens in visual.items()}
        small = {catalog.row_of[name]: thumbnails_of(pixels[None])[0] for name, pixels in shown.items()}
        content = item_content(run.artifacts, catalog, rows, by_row, small)
        index = index.upsert(content, in_place=in_place)
    return with_catalog(run, catalog), index


def removed(run: TrainedRun, index: ItemIndex, item_ids: Sequence[str]) -> ItemIndex:
    """The index that never answers with these items; DataError for an unknown one."""
    return index.remove(np.array(run.dataset.catalog.rows(item_ids), dtype=np.int64))


def check_offered(run: TrainedRun, index: ItemIndex | None, item_ids: Sequence[str]) -> None:
    """DataError when one of these items was removed."""
    if index is None or not len(index.removed):
        return
    for item_id in item_ids:
        if run.dataset.catalog.row_of.get(item_id, -1) in index.removed:
            raise DataError(f'unknown item "{item_id}"; it was removed')


def with_catalog(run: TrainedRun, catalog: Catalog) -> TrainedRun:
    """The run over another version of its catalogue."""
    artifacts = run.artifacts.with_catalog(catalog)
    return replace(run, artifacts=artifacts, dataset=replace(run.dataset, catalog=catalog))


def item_content(
    artifacts: RunArtifacts,
    catalog: Catalog,
    rows: IntArray,
    visual: Mapping[int, Tensor],
    thumbnails: Mapping[int, Tensor],
) -> ItemContent:
    """What the catalogue says of these items, as the index takes it."""
    places, encoder = rows.tolist(), artifacts.item_text
    text_NF = None if encoder is None else encoder.project(catalog, places)
    return ItemContent(
        rows,
        [catalog.item_ids[row] for row in places],
        text_NF,
        item_terms(catalog, places),
        visual,
        thumbnails,
    )


def visual_tokens(run: TrainedRun, pictures: Mapping[str, PictureArray]) -> dict[str, Tensor]:
    """Item id -> visual tokens, a few pictures at a time."""
    found: dict[str, Tensor] = {}
    names = list(pictures)
    for start in range(0, len(names), PICTURES_AT_ONCE):
        some = names[start : start + PICTURES_AT_ONCE]
        tokens = run.artifacts.see(run.model, np.stack([pictures[name] for name in some]))
        found |= dict(zip(some, tokens, strict=True))
    return found
