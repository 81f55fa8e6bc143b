"""A training step over catalogues of several sizes: all items against a sample of them.

    python benchmarks/scale/step.py --out results/scale/step.json

Batches of one shape, items drawn by a skewed popularity, the model of the recipe `small` with 128 dimensions
of text and without pictures, one thread. Seconds are the processor's, so that other processes' work does not
count; each figure is the median over the steps after the first.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unimp.core.compute import device_name, peak_memory_mib, set_threads
from unimp.core.exits import one_line_errors
from unimp.features.cache import open_array, write_array
from unimp.model.inputs import ItemInputs
from unimp.model.unimp import UnimpModel
from unimp.runs.recipe import Recipe, load_recipe
from unimp.sentence.batch import Batch
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.targets import ChoiceTargets, TokenTargets
from unimp.train.negatives import NegativeSampler
from unimp.train.objective import Objective
from unimp.train.optimizer import BETAS, parameter_groups
from unimp.train.process_group import ProcessGroup
from unimp.train.row_adamw import RowAdamW
from unimp.train.sampled import SampledItems
from unimp.train.step import Step

LENGTH, TEXT, TOKENS = 10, 128, 50
NONE = torch.empty(0, dtype=torch.int64)


def batch_of(rng: np.random.Generator, popularity: np.ndarray, positions: int) -> Batch:
    """Sentences of one word and LENGTH items, each item a target."""
    count, width = positions // (LENGTH + 1), LENGTH + 1
    rows = rng.choice(len(popularity), size=(count, LENGTH), p=popularity / popularity.sum())
    items = torch.from_numpy(np.concatenate([np.full((count, 1), -1), rows], axis=1))
    before = (torch.arange(count)[:, None] * width + torch.arange(LENGTH)).flatten()
    size = len(before)
    targets = TokenTargets(
        before,
        torch.from_numpy(rows).flatten()[:, None],
        torch.ones(size, 1),
        torch.full((size,), int(Kind.ITEM)),
        torch.full((size,), int(Role.ANSWER)),
        torch.ones(size),
    )
    empty = torch.empty(0, 1, dtype=torch.int64)
    return Batch(
        items,
        torch.zeros(count, dtype=torch.int64),
        torch.arange(count) * width,
        torch.ones(count),
        torch.full((count,), width),
        None,
        NONE,
        items >= 0,
        NONE,
        (),
        targets,
        TokenTargets(NONE, empty, torch.empty(0, 1), NONE, NONE, torch.empty(0)),
        ChoiceTargets(NONE, empty, NONE),
    )


class Stepper:
    """One model and its optimizers, as `Training` steps them."""

    def __init__(
        self,
        recipe: Recipe,
        num_items: int,
        *,
        sampled: bool,
        device: torch.device,
        folder: Path,
        process_group: ProcessGroup | None = None,
    ) -> None:
        rng = np.random.default_rng(0)
        self.popularity = np.floor(50_000 / (1 + np.arange(num_items)) ** 0.7).astype(np.float32) + 1
        self.device, self.sampled = device, sampled
        self.process_group = process_group or ProcessGroup()
        content = rng.standard_normal((num_items, TEXT), dtype=np.float32)
        content /= np.linalg.norm(content, axis=1, keepdims=True)
        if sampled:
            write_array(folder / "content.npy", content.astype(np.float16))
            text = torch.from_numpy(open_array(folder / "content.npy"))
        else:
            text = torch.from_numpy(content).to(device)
        items = ItemInputs({"text": text})
        torch.manual_seed(0)
        self.model = UnimpModel(recipe.model, num_items, TOKENS, {"text": TEXT}, None).to(device)
        objective = Objective(self.model, None, recipe.objective, items)  # type: ignore[arg-type]
        self.step = Step(self.model, objective, items, short=False)
        replicated = self.model.items.identity if sampled else None
        self.process_group.shard(self.step, self.model, None, 0, replicated)
        groups = parameter_groups(self.model, recipe, sampled=sampled)
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=BETAS)
        if sampled:
            weight, decay = self.model.items.identity.weight, recipe.train.weight_decay
            rows = RowAdamW(weight, self.optimizer, lambda step: 1e-3, 1000, weight_decay=decay, betas=BETAS)
            goal = recipe.objective
            sampler = NegativeSampler(
                self.popularity, draws=goal.negatives, power=goal.negatives_power, seed=0
            )
            self.step.sampled = SampledItems(sampler, rows, items, self.process_group)

    def take(self, batch: Batch, step: int) -> float:
        """Processor seconds of one step; wall-clock ones where another device computes."""
        clock = time.perf_counter if self.device.type == "cuda" else time.process_time
        batch = batch.to(self.device)
        self.finish()
        started = clock()
        self.step.train()
        loss = self.step(batch, 1.0, step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        self.process_group.sync_unused_grads(self.model)
        rows = self.step.sampled.leaves() if self.step.sampled is not None else []
        self.process_group.clip_gradients(self.model, rows, 1.0)
        self.optimizer.step()
        if self.step.sampled is not None:
            self.step.sampled.update(step)
        self.finish()
        return clock() - started

    def finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measured(recipe: Recipe, num_items: int, steps: int, *, sampled: bool, device: torch.device) -> float:
    with tempfile.TemporaryDirectory() as folder:
        stepper = Stepper(recipe, num_items, sampled=sampled, device=device, folder=Path(folder))
        rng = np.random.default_rng(1)
        batches = [
            batch_of(rng, stepper.popularity.astype(np.float64), recipe.train.batch_positions)
            for _ in range(steps + 1)
        ]
        return statistics.median([stepper.take(batch, step) for step, batch in enumerate(batches)][1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[5_000, 10_000, 20_000, 50_000, 100_000])
    parser.add_argument("--sampled-only", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--full-steps", type=int, default=1)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(1)
    device, recipe = torch.device(options.device), load_recipe("small")
    rows: list[dict[str, Any]] = []
    for num_items in [*options.items, *options.sampled_only]:
        row: dict[str, Any] = {"items": num_items}
        row["sampled"] = measured(recipe, num_items, options.steps, sampled=True, device=device)
        if num_items not in options.sampled_only:
            row["full"] = measured(recipe, num_items, options.full_steps, sampled=False, device=device)
            row["positions a second, sampled over full"] = row["full"] / row["sampled"]
        rows.append(row)
        print(row, flush=True)
    by_items = {row["items"]: row["sampled"] for row in rows}
    report = {
        "positions": recipe.train.batch_positions,
        "negatives": recipe.objective.negatives,
        "width": recipe.model.width,
        "seconds a step": rows,
        "step at 1,000,000 items over 100,000": by_items.get(1_000_000, np.nan)
        / by_items.get(100_000, np.nan),
        "device": device_name(device),
        "torch": torch.__version__,
        "peak_memory_mib": peak_memory_mib(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
