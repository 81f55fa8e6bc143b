"""A run's explanations beside its simple references: figures over all test cases, texts of the first.

    python benchmarks/quality/explanations.py RUN --out results/explanations/NAME.json
    python benchmarks/quality/tables.py        # docs/explanations.md

Without choice: the first COUNT test cases, in the order of the split, whose user wrote a sentence. With
--language-model (needs `unimp[pretrained]`) every method's fluency is the perplexity of that model over its
texts of the first FLUENT cases, as it is over what users wrote.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.evaluate.bench.environment import Environment
from unimp.personalizer import load
from unimp.runs.training_split import make_split
from unimp.tasks.explanation.task import ExplanationTask

COUNT, FLUENT = 20, 200
OWN, WRITTEN = "UniMP", "written"


def explained(folder: Path, language_model: str, figures: bool) -> dict[str, Any]:
    personalizer = load(folder)
    run, parts = personalizer.run, personalizer.answerer.parts
    recipe = run.artifacts.recipe
    cases = make_split(run.dataset, recipe.train.split, recipe.train.seed).test
    task = parts.task(ExplanationTask)
    texts, ratings = task.truth(cases)
    described = cases.select(np.flatnonzero([bool(text) for text in texts]))
    first = described.select(np.arange(min(FLUENT, len(described))))
    written = [text for text in texts if text][:FLUENT]
    methods = {OWN: parts.decoder(task), **task.references(parts)}
    said = {
        name: [answer.text for answer in method.explain(first.histories, first.target_rows)]
        for name, method in methods.items()
    }
    catalog, rated = run.dataset.catalog, ratings[[place for place, text in enumerate(texts) if text]]
    rows = []
    for place in range(min(COUNT, len(first))):
        row, history = int(first.target_rows[place]), first.histories.slice(place, place + 1)
        ids = [catalog.item_ids[item] for item in history.items_of(0).tolist()]
        answer = personalizer.explain(catalog.item_ids[row], history=ids)
        rows.append(
            {
                "item": catalog.label(row),
                "history": len(ids),
                "rating": None if math.isnan(rated[place]) else float(rated[place]),
                WRITTEN: written[place],
                **{name: said[name][place] for name in methods},
                "because": list(answer.because),
            }
        )
    found: dict[str, Any] = {"data": run.dataset.data_hash, "recipe": recipe.name, "cases": len(described)}
    if figures:
        found["figures"] = {name: task.score(method, cases).metrics for name, method in methods.items()}
    if language_model:
        judged = {WRITTEN: written, **said}
        found["language model"] = language_model
        found["perplexity"] = perplexities(language_model, judged)
    return found | {"environment": Environment.here().model_dump(mode="json"), "texts": rows}


def perplexities(name: str, judged: dict[str, list[str]]) -> dict[str, float]:
    """Of each method exp of the mean loss a token, every text by itself."""
    from unimp.model.backbones.source import find_backbone

    source = find_backbone(name)
    model, tokens = source.language_model("float32").eval(), source.tokenizer()

    def perplexity(texts: list[str]) -> float:
        loss, count = 0.0, 0
        for text in texts:
            ids = torch.tensor([[*tokens.encode("\n").ids, *tokens.encode(text).ids]])
            if ids.shape[1] > 2:
                with torch.inference_mode():
                    loss += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
                count += ids.shape[1] - 1
        return math.exp(loss / max(count, 1))

    return {method: perplexity(texts) for method, texts in judged.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--language-model", default="")
    parser.add_argument("--no-figures", action="store_true", help="the texts alone")
    options = parser.parse_args()
    set_threads(1)
    found = explained(options.run, options.language_model, not options.no_figures)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with one_line_errors():
        main()
