"""What likeness of a query's words and the items' pictures adds to a run's search.

    python -c "from unimp.demo.shop import ShopConfig, write_shop; write_shop('shop', ShopConfig())"
    unimp train --data shop --recipe demo --out run --set 'tasks=["search"]' \\
        --set image_tokenizer.enabled=false --set 'fusion.kind="closed"' --set train.threads=1
    python benchmarks/quality/cross_modal_search.py run --out results/space/search-shop.json

The mixture is fitted without and with the source `cross_modal`, on the validation users that the run itself
was fitted on and on all; each is judged on the test cases.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from unimp.core.exits import one_line_errors
from unimp.core.files import write_json
from unimp.evaluate.bench.significance import compare
from unimp.inference.score_sources import CROSS_MODAL
from unimp.runs.open_run import open_run
from unimp.runs.training_split import make_split
from unimp.tasks.search.fitting import fit_search
from unimp.tasks.search.task import SearchTask
from unimp.train.validator import sample


def judge(folder: Path) -> dict[str, Any]:
    """By validation users and source: the search's steps, its weights, test metrics; and the difference."""
    run = open_run(folder, device="cpu")
    artifacts, searcher = run.artifacts, run.answerer.decoder(SearchTask)
    train = artifacts.recipe.train
    task = next(task for task in artifacts.tasks if isinstance(task, SearchTask))
    if artifacts.cross_modal is None:
        raise SystemExit(f"{folder}: this run has no {CROSS_MODAL}")
    split = make_split(run.dataset, train.split, train.seed)
    document: dict[str, Any] = {
        "command": "python benchmarks/quality/cross_modal_search.py run --out results/space/search-shop.json",
        "recipe": artifacts.recipe.model_dump(mode="json"),
        "versions": run.result["versions"],
        "data_hash": run.dataset.data_hash,
    }
    for users in (train.valid_users, len(split.valid)):
        valid, found, values = sample(split.valid, users, train.seed), {}, []
        for name, source in (("without", None), ("with", artifacts.cross_modal)):
            changed = replace(searcher, sources=replace(searcher.sources, cross_modal=source))
            fitted = fit_search(
                changed, task, valid, artifacts.recipe.structure, exclude_history=run.exclude_history
            )
            mixed = replace(changed, fusion_weights=fitted.fusion_weights)
            score = task.score(mixed, split.test, exclude_history=run.exclude_history)
            assert score.values is not None
            values.append(score.values)
            shares = fitted.fusion_weights.model_dump()["shares"]
            found[name] = {"valid NDCG@5": fitted.reached, "weights": shares, "test": score.metrics}
        difference = asdict(compare(values[1], values[0]))
        document[f"{len(valid)} validation users"] = {**found, "test NDCG@5, with less without": difference}
    return document


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    with one_line_errors():
        write_json(asked.out, judge(asked.run))
