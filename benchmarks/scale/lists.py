"""How the lists of an inverted index are made and chosen, for inner products with rows of different length.

    OMP_NUM_THREADS=1 python benchmarks/scale/lists.py RUN --out results/scale/lists.json

RUN as for `answers.py`, its item table copied 25 times likewise. `inner product`: centres of one length, a
row goes to the list of largest inner product. `nearest centre`: a row goes to the nearest centre (L2), what
`VectorIndex` does. Both read the lists of largest inner product with the query (hidden states of 100 users)
and keep 512 rows; recall@10 is against all products.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answers import copied_table

from unimp import load
from unimp.core.files import write_json
from unimp.inference.model_scores import direction, hidden_behind
from unimp.inference.vector_index import ROUNDS, SAMPLE, import_faiss
from unimp.tasks.recommendation.task import RecommendationTask

COPIES, LISTS, USERS, KEPT, TOP = 25, 512, 100, 512, 10


def recalls(rows_ID: Any, queries_UD: Any, best_UK: Any, *, nearest_centre: bool) -> dict[int, float]:
    """Recall by number of lists read."""
    faiss, width = import_faiss(), rows_ID.shape[1]
    first = faiss.IndexFlatL2(width) if nearest_centre else faiss.IndexFlatIP(width)
    kind = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(first, width, LISTS, kind, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.min_points_per_centroid, index.cp.spherical = ROUNDS, 1, not nearest_centre
    sample = np.random.default_rng(0).choice(len(rows_ID), SAMPLE * LISTS, replace=False)
    index.train(rows_ID[sample])
    index.add(rows_ID)
    centres = faiss.IndexFlatIP(width)
    centres.add(first.reconstruct_n(0, LISTS))
    index.quantizer, index.own_fields = centres, False
    found = {}
    for probes in (1, 2, 4, 8, 16, 32):
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        rows_UK = index.search(queries_UD, KEPT, params=parameters)[1]
        shares = [np.isin(best, rows).mean() for best, rows in zip(best_UK, rows_UK, strict=True)]
        found[probes] = round(float(np.mean(shares)), 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load(options.run)
    ranker = model.answerer.decoder(RecommendationTask)
    users = model.run.dataset.interactions.histories.slice(0, USERS)
    hidden_UD = hidden_behind(ranker, users, [partial(ranker.task.question, users, u) for u in range(USERS)])
    queries_UD = np.stack([direction(ranker.model, hidden_D) for hidden_D in hidden_UD])
    rows_ID = copied_table(model.answerer.state.table_ID, COPIES).numpy()
    best_UK = np.argpartition(-(queries_UD @ rows_ID.T), TOP - 1, axis=1)[:, :TOP]
    facts = {
        "items": len(rows_ID),
        "lists": LISTS,
        "recall_at_10_by_lists_read": {
            "inner product": recalls(rows_ID, queries_UD, best_UK, nearest_centre=False),
            "nearest centre": recalls(rows_ID, queries_UD, best_UK, nearest_centre=True),
        },
    }
    write_json(options.out, facts)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
