"""Likeness of what is written about items: TF-IDF over words and pairs of words of all their texts."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from unimp.data.catalog import Catalog
from unimp.data.histories import Histories
from unimp.features.item_graph import user_item_matrix

WORD = re.compile(r"[^\W_]{2,}")
PRIOR_PAIRS = 5.0
"""Pairs of items as by chance that are added to those counted."""


def word_vectors(catalog: Catalog) -> Any | None:
    """[I, T] CSR unit rows, T the words and pairs of words that two items share; None without any.

    TF-IDF (Salton & Buckley, 1988) with 1 + log(count). Pairs never cross from one attribute to the next.
    """
    columns: dict[str, int] = {}
    rows, terms = [], []
    for attribute in catalog.attributes:
        if attribute.kind == "number":
            continue
        for row, text in enumerate(catalog.texts[attribute.name]):
            words = WORD.findall(text.lower()) if text else []
            pairs = [f"{first} {second}" for first, second in pairwise(words)]
            for term in (*words, *pairs):
                rows.append(row)
                terms.append(columns.setdefault(term, len(columns)))
    if not columns:
        return None
    shape = (len(catalog), len(columns))
    cells = (np.array(rows, dtype=np.int64), np.array(terms, dtype=np.int64))
    counts: Any = sp.coo_matrix((np.ones(len(rows), np.float32), cells), shape=shape).tocsr()
    items = np.bincount(counts.indices, minlength=len(columns))
    shared = (items >= 2) & (items < len(catalog))
    if not shared.any():
        return None
    kept = counts[:, np.flatnonzero(shared)].tocsr()
    kept.data = 1.0 + np.log(kept.data)
    idf = 1.0 + np.log((1.0 + len(catalog)) / (1.0 + items[shared]))
    kept = (kept @ sp.diags(idf.astype(np.float32))).tocsr()
    return unit_sparse_rows(kept)


def shared_word_vectors(catalog: Catalog, train: Histories) -> Any | None:
    """[I, T] CSR unit rows of the words that the items of one user share more often than by chance.

    Each attribute's words are counted apart. A word weighs the square root of the log of how much likelier
    two items of a user both have it than two events at random; None when no word does.
    """
    columns: dict[tuple[str, str], int] = {}
    cells = set()
    for attribute in catalog.attributes:
        if attribute.kind == "number":
            continue
        for row, text in enumerate(catalog.texts[attribute.name]):
            for word in WORD.findall(text.lower()) if text else ():
                cells.add((row, columns.setdefault((attribute.name, word), len(columns))))
    if not cells or not train.num_events:
        return None
    rows, places = np.array(sorted(cells)).T
    shape = (len(catalog), len(columns))
    has: Any = sp.coo_matrix((np.ones(len(rows), np.float32), (rows, places)), shape=shape).tocsr()
    users = user_item_matrix(train, len(catalog))
    counts = users @ has  # [U, T] items of each user that have the word
    sizes = np.asarray(users.sum(axis=1)).ravel()
    total = float((sizes * (sizes - 1)).sum())
    both = np.asarray(counts.multiply(counts).sum(axis=0) - counts.sum(axis=0)).ravel()
    shares = np.asarray(counts.sum(axis=0)).ravel() / max(float(sizes.sum()), 1.0)
    lifts = (both / 2 + PRIOR_PAIRS) / (total * shares**2 / 2 + PRIOR_PAIRS)
    weights = np.sqrt(np.maximum(np.log(lifts), 0.0)).astype(np.float32)
    return unit_sparse_rows((has @ sp.diags(weights)).tocsr()) if weights.any() else None


def set_vectors(cells: list[list[str] | None]) -> Any | None:
    """[I, V] CSR unit rows of a list attribute, rare values weighing more; None when no value is shared."""
    columns: dict[str, int] = {}
    pairs = [(row, columns.setdefault(v, len(columns))) for row, cell in enumerate(cells) for v in cell or ()]
    if not pairs:
        return None
    rows, values = np.array(pairs).T
    shape = (len(cells), len(columns))
    found: Any = sp.coo_matrix((np.ones(len(rows), np.float32), (rows, values)), shape=shape).tocsr()
    items = np.bincount(found.indices, minlength=len(columns))
    if items.max() < 2:
        return None
    idf = np.log((1.0 + len(cells)) / items).astype(np.float32)
    return unit_sparse_rows((found @ sp.diags(idf)).tocsr())


def unit_sparse_rows(matrix: Any) -> Any:
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sp.diags((1.0 / np.maximum(norms, 1e-9)).astype(np.float32)) @ matrix).tocsr()
