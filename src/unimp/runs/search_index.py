"""The index of a large run's items: built once, measured against exact scores, kept beside the weights."""

# I items, U queries

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unimp.answer import Query
from unimp.core.errors import CheckpointError
from unimp.core.files import read_tensors, recorded_hash, write_tensors
from unimp.core.progress import progress_bar, say
from unimp.data.histories import Histories, IntArray
from unimp.inference.candidates import MOST_POPULAR, CandidateSearch, ItemVectors, rows_of_tensor
from unimp.inference.model_scores import direction, hidden_behind, popularity_weight
from unimp.inference.scored_rows import ScoredRows
from unimp.inference.vector_index import RetrievalConfig, VectorIndex
from unimp.runs.answerer import Answerer
from unimp.runs.artifact_files import ITEMS
from unimp.runs.folder import BEST
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask

INDEX = "index.safetensors"
FORMAT_OF_INDEX = 1
TOP = 10
"""Items of an answer that recall counts."""
MOST_QUERIES, FEWEST_QUERIES, EXACT_SCORES = 256, 32, 2**30
"""Sample queries: as many as EXACT_SCORES scores of items allow."""

BestOf = Callable[[Answerer], list[ScoredRows]]
"""The best items of the sample queries of one task."""


@dataclass(frozen=True)
class MeasuredSearch:
    """A search, and which share of the exact best items it finds."""

    search: CandidateSearch
    recall: Mapping[str, float]
    """By task, on queries that the number of probes was not chosen on."""
    queries: int
    """Sample queries of each task; the probes are chosen on one half, recall is measured on the other."""
    seconds: float
    """To build the lists, without measuring."""


def wants_index(config: RetrievalConfig, num_items: int, *, show: bool = True) -> bool:
    """Whether a catalogue of this size is searched by an index; `auto` says where it should and cannot."""
    if config.kind != "auto" or num_items <= config.exact_items:
        return config.kind == "approximate"
    if find_spec("faiss") is not None:
        return True
    say(
        f"{num_items:,} items: every one is scored for every answer; pip install 'unimp[ann]' for an index "
        "(retrieval.exact_items)",
        show=show,
    )
    return False


def with_search(
    folder: Path, answerer: Answerer, config: RetrievalConfig, histories: Histories, *, show: bool = True
) -> Answerer:
    """The answerer that searches by the folder's index, built where it is missing or of other weights.

    `histories`: users of the data, some of whom are sample queries.
    """
    if not wants_index(config, len(answerer.sources.popularity), show=show):
        return answerer
    identity = {
        "format": FORMAT_OF_INDEX,
        "model": recorded_hash(folder / BEST),
        "items": recorded_hash(folder / ITEMS),
        "settings": config.model_dump(mode="json"),
    }
    search = read_search(folder / INDEX, identity)
    if search is None:
        found = build_search(answerer, config, histories, show=show)
        say(recall_line(found), show=show)
        search = found.search
        try:
            write_search(folder / INDEX, found, identity)
        except CheckpointError as error:  # a run on a medium that cannot be written answers all the same
            say(f"the index is not kept: {error}", show=show)
    return searching(answerer, search)


def searching(answerer: Answerer, search: CandidateSearch | None) -> Answerer:
    """The answerer that scores what the search proposes; None: every item."""
    return answerer.with_items(answerer.state, replace(answerer.sources, nearest=search))


def recall_line(found: MeasuredSearch) -> str:
    vectors = found.search.vectors
    shares = ", ".join(f"{task} {recall:.3f}" for task, recall in found.recall.items())
    return (
        f"index of {len(vectors):,} items in {found.seconds:.0f} s: {vectors.probes} of {vectors.num_lists} "
        f"lists are read; recall@{TOP} against exact scores on {found.queries} queries: {shares}"
    )


def build_search(
    answerer: Answerer, config: RetrievalConfig, histories: Histories, *, show: bool = True
) -> MeasuredSearch:
    """Build the lists, then read as many as the recall that is asked for takes."""
    sources, tasks = answerer.sources, sample_queries(answerer, histories)
    num_items = len(sources.popularity)
    scale = popularity_scale(answerer, histories)
    started = time.monotonic()
    with progress_bar(f"index of {num_items:,} items", None, show=show):
        vectors = ItemVectors(answerer.state.table_ID[:num_items], sources.popularity, scale)
        members = np.setdiff1d(np.arange(num_items, dtype=np.int64), sources.removed)
        lists = VectorIndex.build(vectors.rows, members, config.num_lists(num_items))
        pictures = None
        if sources.pictures is not None:
            shown = members[np.abs(sources.pictures[members]).sum(axis=1) > 0]
            table = rows_of_tensor(torch.from_numpy(sources.pictures))
            if len(shown):
                pictures = VectorIndex.build(table, shown, config.num_lists(len(shown)))
    seconds = time.monotonic() - started
    popular = np.argsort(-sources.popularity, kind="stable")[:MOST_POPULAR].astype(np.int64)
    search = CandidateSearch(lists, scale, pictures, np.sort(popular))
    with progress_bar("exact answers to sample queries", None, show=show):
        return measured(answerer, search, tasks, config.recall, seconds)


def measured(
    answerer: Answerer, search: CandidateSearch, tasks: Mapping[str, BestOf], target: float, seconds: float
) -> MeasuredSearch:
    """The search that reads the fewest lists, a power of two, with which all tasks reach the target."""
    exact = {name: best(searching(answerer, None)) for name, best in tasks.items()}
    probes = 1
    while True:
        search = search.with_probes(probes)
        found = {name: best(searching(answerer, search)) for name, best in tasks.items()}
        chosen = [surely(found_shares(exact[name][::2], found[name][::2])) for name in tasks]
        if min(chosen, default=1.0) >= target or probes >= search.vectors.num_lists:
            break
        probes *= 2
    recall = {name: recall_of(exact[name][1::2], found[name][1::2]) for name in tasks}
    queries = max((len(answers) for answers in exact.values()), default=0)
    return MeasuredSearch(search, recall, queries, seconds)


def recall_of(exact: list[ScoredRows], found: list[ScoredRows]) -> float:
    """Mean share of the exact best items that were found; 1 where there are none."""
    shares = found_shares(exact, found)
    return float(np.mean(shares)) if shares else 1.0


def found_shares(exact: list[ScoredRows], found: list[ScoredRows]) -> list[float]:
    """Of each query with an answer, the share of its exact best items that were found."""
    return [
        len(np.intersect1d(right.rows, own.rows)) / len(right.rows)
        for right, own in zip(exact, found, strict=True)
        if len(right.rows)
    ]


def surely(shares: list[float]) -> float:
    """The mean less one standard error: few queries must not choose too few lists by luck."""
    if not shares:
        return 1.0
    return float(np.mean(shares) - np.std(shares) / np.sqrt(len(shares)))


def sample_queries(answerer: Answerer, histories: Histories) -> dict[str, BestOf]:
    """By task, how its sample queries are answered: users of the data, and queries that fit random items."""
    num_items = len(answerer.sources.popularity)
    count = int(np.clip(EXACT_SCORES // num_items, FEWEST_QUERIES, MOST_QUERIES))
    rng = np.random.default_rng(0)
    users = rng.choice(len(histories), min(count, len(histories)), replace=False)
    sample = histories.select(np.sort(users))
    at_once = max(1, 2**25 // num_items)
    blocks = [sample.slice(start, start + at_once) for start in range(0, len(sample), at_once)]
    tasks: dict[str, BestOf] = {}
    if answerer.find(RecommendationTask) is not None:

        def recommend(some: Answerer) -> list[ScoredRows]:
            decoder = some.decoder(RecommendationTask)
            asked = [(block, [TOP] * len(block), [True] * len(block)) for block in blocks]
            return [answer for block in asked for answer in decoder.best(*block)]

        tasks[RecommendationTask.name] = recommend
    if answerer.find(SearchTask) is not None:
        rows = rng.integers(num_items, size=len(sample))
        queries = posed_queries(answerer, rows)

        def search(some: Answerer) -> list[ScoredRows]:
            decoder, answers = some.decoder(SearchTask), []
            for start, block in zip(range(0, len(sample), at_once), blocks, strict=True):
                part = queries[start : start + len(block)]
                answers += decoder.best(block, part, [TOP] * len(block), [True] * len(block))
            return answers

        tasks[SearchTask.name] = search
    return tasks


def posed_queries(answerer: Answerer, rows: IntArray) -> list[Query]:
    """A query that fits each row: words, every third time its picture, where it has one."""
    task, rng = answerer.task(SearchTask), np.random.default_rng(1)
    has_picture, found = task.template.has_picture, []
    for place, row in enumerate(rows.tolist()):
        posed = task.context.queries.pose(row, "", rng)
        if place % 3 == 2 and answerer.sources.pictures is not None and has_picture[row]:
            found.append(Query("", row))
        else:
            found.append(Query(task.context.catalog.label(row)) if posed is None else posed.query)
    return found


def popularity_scale(answerer: Answerer, histories: Histories) -> float:
    """Factor of log popularity with which it weighs in the lists' centres as one coordinate of the model."""
    weights = [
        popularity_weight(decoder.fusion_weights.shares)
        for decoder in (answerer.find(RecommendationTask), answerer.find(SearchTask))
        if decoder is not None
    ]
    largest = max(weights, key=abs, default=0.0)
    ranker = answerer.find(RecommendationTask)
    if not largest or ranker is None:
        return largest
    some = histories.slice(0, 32)
    writes = [partial(ranker.task.question, some, user) for user in range(len(some))]
    hidden_UD = hidden_behind(ranker, some, writes)
    directions = np.stack([direction(ranker.model, hidden_D) for hidden_D in hidden_UD])
    return largest / max(float(np.sqrt(np.mean(directions**2))), 1e-6)


def write_search(path: Path, found: MeasuredSearch, identity: Mapping[str, Any]) -> None:
    search = found.search
    tensors = {
        "vectors": torch.from_numpy(search.vectors.to_bytes()),
        "popular": torch.from_numpy(search.popular),
    }
    facts = {
        "identity": dict(identity),
        "popularity_scale": search.popularity_scale,
        "probes": search.vectors.probes,
        "recall": dict(found.recall),
        "queries": found.queries,
        "seconds": found.seconds,
    }
    if search.pictures is not None:
        tensors["pictures"] = torch.from_numpy(search.pictures.to_bytes())
        facts["picture_probes"] = search.pictures.probes
    write_tensors(path, tensors, facts)


def read_search(path: Path, identity: Mapping[str, Any]) -> CandidateSearch | None:
    """The index of these weights; None when there is none, or it is of others."""
    if not path.exists():
        return None
    tensors, facts = read_tensors(path)
    if facts["identity"] != identity:
        return None
    pictures = None
    if "pictures" in tensors:
        pictures = VectorIndex.from_bytes(tensors["pictures"].numpy(), facts["picture_probes"])
    vectors = VectorIndex.from_bytes(tensors["vectors"].numpy(), facts["probes"])
    return CandidateSearch(vectors, facts["popularity_scale"], pictures, tensors["popular"].numpy())
