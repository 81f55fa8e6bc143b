"""`ItemGraph`: a sparse item–item score, in closed form: cosine neighbours or EASE of the log, or cosine of
content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field

from unimp.core.config import Config
from unimp.core.errors import ConfigError
from unimp.core.progress import progress_bar, say
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.nearest_content import near_blocks
from unimp.features.neighbour_ridge import neighbour_ridge, regressors_for
from unimp.features.row_scores import RowScores, met_items, weighted_rows

EASE_MAX_ITEMS = 25_000
"""EASE inverts an items x items matrix: past this it wants more than 5 GB and several minutes."""

EXACT_CONTENT_ITEMS = 25_000
"""Up to which the texts of all pairs of items are compared."""
HISTORY_CAP = 5000
"""Latest events of one history that count, unless a recipe says otherwise: pairs of items grow with its
square, and a bot's, or a guest checkout's, is long."""
GRAM_ENTRIES = 30_000_000
"""Pairs of items that `slim` knows of, where its neighbours are fewer: 240 MB."""
BLOCK_PAIRS = 2**25
"""Pairs of events that are counted at a time."""


class GraphConfig(Config):
    """How the item–item graphs are computed, before any training."""

    kind: Literal["auto", "none", "cosine", "ease", "slim"] = "auto"
    """Closed form of the training log's co-occurrence; `none` leaves this graph out. `slim` is EASE with each
    item regressed on its nearest neighbours alone; `auto` is EASE up to 25,000 items and `slim` past that,
    where EASE would want gigabytes."""
    l2: float = Field(250.0, gt=0)
    """Ridge penalty of EASE and of `slim`."""
    shrink: float = Field(0.0, ge=0)
    """Added to the denominator of `cosine`: doubts pairs of items that rest on few users."""
    history_cap: int = Field(HISTORY_CAP, ge=2)
    """Latest events of one history that count: pairs of items grow with its square, and a bot's is long."""
    neighbours: int = Field(300, ge=1)
    """Entries of largest magnitude that each item keeps."""
    content: bool = True
    """Use the cosine of two items' text as a second graph."""
    content_neighbours: int = Field(100, ge=1)
    """Most similar items that each item keeps in the text graph."""
    content_threshold: float = Field(0.5, ge=-1, lt=1)
    """Pairs of items whose texts have a lower cosine have no edge in the text graph."""


def user_item_matrix(histories: Histories, num_items: int, recency: float = 1.0) -> Any:
    """[U, num_items] CSR: 1 where a user met an item, or recency^(events since then) for recency < 1.

    A repeated item counts once, at its latest event.
    """
    ages = np.repeat(histories.offsets[1:], histories.lengths) - 1 - np.arange(histories.num_events)
    weights = np.power(recency, ages).astype(np.float32)
    owners = histories.owners()
    keys = owners * num_items + histories.item_rows
    # np.unique keeps the first of equals: walk from the latest event back. It sorts by user, then by item.
    _, latest = np.unique(keys[::-1], return_index=True)
    kept = len(keys) - 1 - latest
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners[kept], minlength=len(histories)))])
    shape = (len(histories), num_items)
    return sp.csr_matrix((weights[kept], histories.item_rows[kept], offsets), shape=shape)


@dataclass(frozen=True)
class ItemGraph:
    """weights[i, j]: how much having met item i speaks for item j next.

    [num_items, num_items] float32: CSR, or a plain array where every entry counts (EASE without `neighbours`:
    a CSR of full rows would take three times the memory and score more slowly).
    """

    weights: Any

    @property
    def num_items(self) -> int:
        return int(self.weights.shape[0])

    def score(self, histories: Histories, recency: float = 1.0) -> FloatArray:
        """[U, num_items] sum over a user's items of recency^age times their row of weights."""
        users = user_item_matrix(histories, self.num_items, recency)
        scores = users @ self.weights
        return np.asarray(scores if isinstance(scores, np.ndarray) else scores.toarray(), dtype=np.float32)

    def related(self, histories: Histories, recency: float = 1.0) -> RowScores:
        """The scores of one user that are not 0, at the cost of the rows of their items alone."""
        met, weights = met_items(histories, recency)
        known = met < self.num_items
        return weighted_rows(self.weights, met[known], weights[known])


def keep_largest(matrix: Any, k: int) -> Any:
    """The k largest entries in magnitude of every row, as CSR."""
    if not isinstance(matrix, np.ndarray):
        rows: Any = matrix.tocsr()
        indptr, indices, data = rows.indptr, rows.indices, rows.data
        kept = [
            start + np.sort(np.argpartition(-np.abs(data[start:stop]), k - 1)[:k])
            if stop - start > k
            else np.arange(start, stop)
            for start, stop in pairwise(indptr)
        ]
        counts = np.array([len(part) for part in kept])
        chosen = np.concatenate(kept)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return sp.csr_matrix((data[chosen], indices[chosen], offsets), shape=rows.shape)
    k = min(k, matrix.shape[1])
    top = np.sort(np.argpartition(-np.abs(matrix), k - 1, axis=1)[:, :k], axis=1)
    offsets = np.arange(0, (len(matrix) + 1) * k, k)
    values = np.take_along_axis(matrix, top, axis=1)
    return sp.csr_matrix((values.ravel(), top.ravel(), offsets), shape=matrix.shape)


def cosine_graph(
    train: Histories, num_items: int, *, neighbours: int | None = 100, shrink: float = 0.0
) -> ItemGraph:
    """Item–item cosine of co-occurrence: c_ij / (sqrt(n_i n_j) + shrink), the best `neighbours` per item.

    None keeps every item that shares a user.
    """
    users = user_item_matrix(train, num_items)
    counts = np.maximum(np.bincount(users.indices, minlength=num_items), 1).astype(np.float32)
    parts = []
    for start, together in co_occurrences(users):
        drop_diagonal(together, start)
        rows = start + np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
        together.data = together.data / (np.sqrt(counts[rows] * counts[together.indices]) + shrink)
        parts.append(together if neighbours is None else keep_largest(together, neighbours))
    return ItemGraph(sp.vstack(parts, format="csr"))


def co_occurrences(users: Any) -> Iterator[tuple[int, Any]]:
    """(first item, [items, num_items] CSR of users in common), some items at a time.

    As many items as make BLOCK_PAIRS pairs: the whole product of a large log does not fit in memory.
    """
    items = users.T.tocsr()
    pairs = np.cumsum(np.concatenate([[0], np.diff(users.indptr)[items.indices]]))[items.indptr]
    start, stop = 0, 0
    while stop < items.shape[0]:
        start = stop
        stop = max(start + 1, int(np.searchsorted(pairs, pairs[start] + BLOCK_PAIRS, side="right")) - 1)
        together = items[start:stop] @ users
        together.sort_indices()
        yield start, together


def content_graph(content: FloatArray, *, neighbours: int = 100, threshold: float = 0.5) -> ItemGraph:
    """The cosine of two items' content above `threshold`, the best `neighbours` per item, itself left out.

    content: [num_items, F] unit rows (or zeros). Cut at a threshold, a few close relatives are not drowned
    by many distant ones. Above EXACT_CONTENT_ITEMS items, an item is compared with those of near cells only.
    """
    if len(content) > EXACT_CONTENT_ITEMS:
        return near_content_graph(content, neighbours=neighbours, threshold=threshold)
    num_items, chunk = len(content), max(1, 2**24 // max(1, len(content)))
    parts = []
    for start in range(0, num_items, chunk):
        rows = content[start : start + chunk]
        close = rows @ content.T - np.float32(threshold)
        close[np.arange(len(rows)), start + np.arange(len(rows))] = 0.0
        parts.append(keep_largest(sp.csr_matrix(np.maximum(close, 0.0)), neighbours))
    return ItemGraph(sp.vstack(parts, format="csr"))


def near_content_graph(content: FloatArray, *, neighbours: int, threshold: float) -> ItemGraph:
    """`content_graph` among the items that `near_blocks` finds near."""
    nothing = np.empty(0, dtype=np.int64)
    parts: list[tuple[FloatArray, IntArray, IntArray]] = [(nothing.astype(np.float32), nothing, nothing)]
    for rows, candidates in near_blocks(content):
        chunk = max(1, 2**24 // len(candidates))
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            close = content[part] @ content[candidates].T - np.float32(threshold)
            close[part[:, None] == candidates] = 0.0
            found = keep_largest(sp.csr_matrix(np.maximum(close, 0.0)), neighbours)
            owners = np.repeat(part, np.diff(found.indptr))
            parts.append((found.data, owners, candidates[found.indices]))
    data, owners, columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    shape = (len(content), len(content))
    graph: Any = sp.coo_matrix((data, (owners, columns)), shape=shape).tocsr()
    graph.sort_indices()
    return ItemGraph(graph)


def slim_graph(train: Histories, num_items: int, *, l2: float, neighbours: int) -> ItemGraph:
    """EASE with every item regressed on its nearest neighbours alone, see `neighbour_ridge`."""
    users = user_item_matrix(train, num_items)
    counts = np.bincount(users.indices, minlength=num_items).astype(np.float32)
    parts = []
    for start, together in co_occurrences(users):
        drop_diagonal(together, start)
        parts.append(keep_largest(together, max(neighbours, GRAM_ENTRIES // num_items)))
    gram = sp.vstack(parts, format="csr")
    weights = neighbour_ridge(gram, counts, l2=l2, regressors=regressors_for(num_items))
    return ItemGraph(keep_largest(weights, neighbours))


def drop_diagonal(together: Any, start: int) -> None:
    """Take each item with itself out of rows `start` onwards, in place."""
    items = np.arange(start, start + together.shape[0], dtype=together.indices.dtype)
    together.data[np.repeat(items, np.diff(together.indptr)) == together.indices] = 0.0
    together.eliminate_zeros()


def ease_graph(train: Histories, num_items: int, *, l2: float, neighbours: int | None = None) -> ItemGraph:
    """EASE (Steck, WWW 2019, eq. 8): B = I - P / diag(P) with P = (XᵀX + l2 I)⁻¹, zero diagonal.

    `neighbours` keeps the largest entries of every row, as CSR; None keeps all of them, as a plain array.
    """
    import scipy.linalg  # answering needs none of it

    if num_items > EASE_MAX_ITEMS:
        raise ConfigError(
            f"EASE: {num_items:,} items need {num_items**2 * 4 / 2**30:.0f} GiB; at most {EASE_MAX_ITEMS:,}; "
            "use neighbours instead: `--set structure.kind=slim` in training, itemknn in a benchmark"
        )
    users = user_item_matrix(train, num_items)
    gram = np.empty((num_items, num_items), dtype=np.float32)
    for start, together in co_occurrences(users):
        gram[start : start + together.shape[0]] = together.toarray()
    gram[np.diag_indices(num_items)] += l2
    # LAPACK wants columns: the transposed view of a symmetric matrix is in that order, and is not copied.
    precision, status = scipy.linalg.lapack.spotrf(gram.T, lower=True, overwrite_a=True)
    if status == 0:
        precision, status = scipy.linalg.lapack.spotri(precision, lower=True, overwrite_c=True)
    if status != 0:
        raise ConfigError(f"EASE: the Gram matrix is singular at l2={l2}; raise l2")
    weights = mirror_upper(precision.T)
    weights /= -np.diag(weights).copy()[None, :]
    weights[np.diag_indices(num_items)] = 0.0
    return ItemGraph(weights if neighbours is None else keep_largest(weights, neighbours))


def mirror_upper(matrix: npt.NDArray[np.float32], block: int = 1024) -> npt.NDArray[np.float32]:
    """Copy the upper triangle onto the lower one, in place, a band of rows at a time."""
    for start in range(0, len(matrix), block):
        stop = min(start + block, len(matrix))
        matrix[start:stop, :start] = matrix[:start, start:stop].T
        corner = np.triu(matrix[start:stop, start:stop])
        matrix[start:stop, start:stop] = corner + np.triu(corner, 1).T
    return matrix


def capped(train: Histories, cap: int = HISTORY_CAP, *, show: bool = True) -> Histories:
    """The latest `cap` events of every history, said aloud where one has more."""
    heavy = int((train.lengths > cap).sum())
    if not heavy:
        return train
    say(
        f"{heavy:,} histories have more than {cap:,} events: the latest {cap:,} of each count in the "
        "item-item scores (structure.history_cap)",
        show=show,
    )
    return train.last(cap)


def fit_graphs(
    train: Histories, text: FloatArray | None, num_items: int, config: GraphConfig, *, show: bool = False
) -> dict[str, ItemGraph]:
    """The configured graphs by name: `log` of the training part, `content` of the items' text.

    text: [num_items, F] unit rows (or zeros); None leaves that graph out. `show` prints progress, and which
    graph `auto` chose where memory decides.
    """
    graphs: dict[str, ItemGraph] = {}
    train = capped(train, config.history_cap, show=show)
    kind = config.kind
    if kind == "auto":
        kind = "ease" if num_items <= EASE_MAX_ITEMS else "slim"
        if kind == "slim":
            say(
                f"{num_items:,} items, EASE takes {EASE_MAX_ITEMS:,} at most: each item is regressed on its "
                "nearest neighbours alone (structure.kind=slim)",
                show=show,
            )
    with progress_bar("item-item scores of the log", None, show=show):
        if kind == "ease":
            graphs["log"] = ease_graph(train, num_items, l2=config.l2, neighbours=config.neighbours)
        elif kind == "cosine":
            graphs["log"] = cosine_graph(train, num_items, neighbours=config.neighbours, shrink=config.shrink)
        elif kind == "slim":
            graphs["log"] = slim_graph(train, num_items, l2=config.l2, neighbours=config.neighbours)
    if config.content and text is not None:
        with progress_bar("item-item scores of the texts", None, show=show):
            graphs["content"] = content_graph(
                text, neighbours=config.content_neighbours, threshold=config.content_threshold
            )
    return graphs
