"""One recommendation from a catalogue of 1 to 10 million items: build of the index, recall, latency, memory.

    unimp train --data BEAUTY --recipe src/unimp/recipes/small.toml --set model.width=64 \
        --set model.hidden=128 --set train.epochs=6 --set structure.kind=cosine \
        --set structure.neighbours=50 --set content.picture=false --set vision.enabled=false --out RUN
    export OMP_NUM_THREADS=1
    python benchmarks/scale/answers.py RUN --items 1000000 --out results/scale/answers-1m.json
    python benchmarks/scale/answers.py RUN --items 10000000 --neighbours 12 --recall 0.95 \
        --exact-users 20 --users 100 --out results/scale/answers-10m.json

The catalogue is made from a trained run: every item is a copy of a trained one whose vector is moved by
half the distance to its nearest neighbour in a random direction, with its popularity, its neighbours in the
graphs (the first `--neighbours`, each one copy of theirs) and a title of 12 letters. Histories are those of
the run's users, each event one copy of its item. So vectors are clustered as trained ones are, hidden states
are the trained model's, and fusion weights the run's own. A real run also holds the identities of its items,
as large as the table: `identities_mib` is to be added to what the process held (`resident_mib`, `peak_mib`).

`warm`: as the service answers, with the user's history in the prefix cache. `read`: without the cache.
`exact`: every item scored. Milliseconds of the wall clock, and of the process's own time (`cpu_ms`), which a
busy machine does not lengthen; load averages stand beside them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch

from unimp import load
from unimp.core.compute import peak_memory_mib
from unimp.core.exits import one_line_errors
from unimp.core.files import write_json
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import Histories
from unimp.features.item_graph import ItemGraph, keep_largest
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.score_sources import ScoreSources
from unimp.inference.scored_rows import ScoredRows
from unimp.inference.vector_index import RetrievalConfig, import_faiss
from unimp.personalizer import Personalizer
from unimp.runs.answerer import Answerer
from unimp.runs.search_index import build_search, read_search, recall_of, searching, write_search
from unimp.tasks.recommendation.schema import RecommendRequest
from unimp.tasks.recommendation.task import RecommendationTask


def copied_catalog(base: Catalog, copies: int) -> Catalog:
    titles = pl.Series("title", [base.label(row)[:12] for row in range(len(base))])
    ids = pl.Series("item_id", base.item_ids)
    blocks = [pl.DataFrame([ids + f"/{copy}", titles]) for copy in range(copies)]
    table = pl.concat(blocks).with_columns(pl.lit(None, pl.String).alias("picture"))
    return Catalog(table, (Attribute("title", "text"),), "title")


def copied_table(table_BD: torch.Tensor, copies: int) -> torch.Tensor:
    """[B · copies, D]; the first copy is the trained table itself."""
    base, width = table_BD.shape
    sample_SD = table_BD[:: max(1, base // 2000)]
    distances = torch.cdist(sample_SD, table_BD)
    distances[distances < 1e-6] = torch.inf
    step = float(distances.min(dim=1).values.median()) / 2 / width**0.5
    generator = torch.Generator().manual_seed(0)
    table_ID = torch.empty(base * copies, width)
    for copy in range(copies):
        block_BD = table_ID[copy * base : (copy + 1) * base]
        block_BD.normal_(generator=generator).mul_(step if copy else 0.0).add_(table_BD)
    return table_ID


def copied_graph(graph: ItemGraph, copies: int, neighbours: int) -> ItemGraph:
    kept = keep_largest(graph.weights, neighbours).astype(np.float32)
    base, entries = kept.shape[0], kept.nnz
    rng, indices = np.random.default_rng(0), np.empty(entries * copies, dtype=np.int32)
    for copy in range(copies):
        moved = rng.integers(copies, size=entries, dtype=np.int32) * np.int32(base)
        indices[copy * entries : (copy + 1) * entries] = kept.indices + moved
    offsets = np.arange(copies)[:, None] * entries + kept.indptr[None, :-1]
    offsets = np.append(offsets.ravel(), entries * copies).astype(np.int64)
    weights = sp.csr_matrix((base * copies, base * copies), dtype=np.float32)
    weights.data, weights.indices, weights.indptr = np.tile(kept.data, copies), indices, offsets
    return ItemGraph(weights)


def copied_histories(histories: Histories, base: int, copies: int) -> Histories:
    moved = np.random.default_rng(1).integers(copies, size=histories.num_events) * base
    return replace(histories, item_rows=histories.item_rows + moved)


def milliseconds(answerer: Answerer, histories: Histories, users: int) -> dict[str, float]:
    """Of one user's ten recommendations after the other."""
    task, request = answerer.task(RecommendationTask), RecommendRequest(k=10)
    wall, own = [], []
    for user in range(users):
        history = histories.slice(user, user + 1)
        before, before_own = time.perf_counter(), time.process_time()
        (answer,) = answerer.answer(task, history, [request])
        wall.append(1e3 * (time.perf_counter() - before))
        own.append(1e3 * (time.process_time() - before_own))
        assert len(answer.items) == 10
    return {
        "p50_ms": round(float(np.median(wall)), 2),
        "p95_ms": round(float(np.quantile(wall, 0.95)), 2),
        "p50_cpu_ms": round(float(np.median(own)), 2),
    }


def best(answerer: Answerer, histories: Histories, users: int) -> list[ScoredRows]:
    decoder = answerer.decoder(RecommendationTask)
    rows = [histories.slice(user, user + 1) for user in range(users)]
    return [decoder.best(history, [10], [True])[0] for history in rows]


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def enlarged(model: Personalizer, copies: int, neighbours: int) -> tuple[Answerer, Histories]:
    run = model.run
    base, state = len(run.dataset.catalog), model.answerer.state
    artifacts = run.artifacts.with_catalog(copied_catalog(run.dataset.catalog, copies))
    table_ID = copied_table(state.table_ID, copies)
    graphs = {name: copied_graph(graph, copies, neighbours) for name, graph in run.artifacts.graphs.items()}
    popularity = np.tile(model.answerer.sources.popularity, copies)
    histories = copied_histories(run.dataset.interactions.histories, base, copies)
    answerer = artifacts.answerer(run.model, run.weights_by_task)
    return answerer.with_items(replace(state, table_ID=table_ID), ScoreSources(popularity, graphs)), histories


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--neighbours", type=int, default=30)
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--exact-users", type=int, default=50)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    import_faiss().omp_set_num_threads(1)
    model = load(options.run)
    copies = -(-options.items // len(model.run.dataset.catalog))
    started = time.monotonic()
    answerer, histories = enlarged(model, copies, options.neighbours)
    catalog = answerer.task(RecommendationTask).context.catalog
    print(
        f"{len(catalog.row_of):,} items made in {time.monotonic() - started:.0f} s, {resident_mib():,.0f} MiB"
    )
    gc.collect()
    config = RetrievalConfig(kind="approximate", recall=options.recall)
    load_before, own = os.getloadavg()[0], time.process_time()
    found = build_search(answerer, config, histories)
    facts: dict[str, Any] = {
        "items": len(catalog),
        "width": answerer.state.table_ID.shape[1],
        "neighbours": options.neighbours,
        "graphs": list(answerer.sources.graphs),
        "fusion": answerer.decoder(RecommendationTask).fusion_weights.model_dump()["shares"],
        "build": {
            "seconds": round(found.seconds, 1),
            "cpu_seconds_with_recall": round(time.process_time() - own, 1),
            "lists": found.search.vectors.num_lists,
            "lists_read": found.search.vectors.probes,
            "recall_at_10": dict(found.recall),
            "queries": found.queries,
        },
    }
    print(json.dumps(facts["build"]))
    started, path = time.monotonic(), options.scratch / "index-of-answers.safetensors"
    write_search(path, found, {})
    facts["index_mib"] = round(path.stat().st_size / 2**20, 1)
    del found
    gc.collect()  # whoever reads an index does not hold the one that was built
    search = read_search(path, {})
    facts["write_and_read_seconds"] = round(time.monotonic() - started, 1)
    path.unlink()
    plain = searching(answerer, search)
    few = options.exact_users
    ours = histories.select(np.random.default_rng(7).choice(len(histories), options.users, replace=False))
    exact = best(searching(answerer, None), ours, few)
    facts["recall_at_10_of_further_users"] = round(recall_of(exact, best(plain, ours, few)), 4)
    milliseconds(plain, ours, 10)
    facts["read"] = milliseconds(plain, ours, options.users)
    cached = plain.with_prefixes(PrefixCache(2**28))
    milliseconds(cached, ours, options.users)
    facts["warm"] = milliseconds(cached, ours, options.users)
    facts["exact"] = milliseconds(searching(answerer, None), ours, min(few, 3))
    facts |= {
        "resident_mib": round(resident_mib()),
        "peak_mib": round(peak_memory_mib()),
        "identities_mib": round(answerer.state.table_ID.nbytes / 2**20),
        "threads": 1,
        "load_averages": [round(load_before, 1), round(os.getloadavg()[0], 1)],
        "versions": {name: metadata.version(name) for name in ("torch", "numpy", "faiss-cpu")},
    }
    write_json(options.out, facts)
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    with one_line_errors():
        main()
