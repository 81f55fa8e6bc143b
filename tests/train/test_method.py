"""UniMP under the benchmark's contract: the same promises as every baseline."""

from __future__ import annotations

from typing import Any, ClassVar

from unimp.baselines import MethodEntry
from unimp.cli.bench import all_methods
from unimp.testing.rankers import RankerContract


class TestUnimp(RankerContract):
    """A narrow model of a few epochs on the toy world, its structure mixed in."""

    entry: ClassVar[MethodEntry | None] = all_methods()["unimp"]
    settings: ClassVar[dict[str, Any]] = {
        "fusion_weights": True,
        "settings": {
            "model": {"width": 32, "hidden": 64, "dropout": 0.1, "input_dropout": 0.1},
            "train": {"epochs": 15, "lr": 5e-3, "batch_positions": 512, "threads": 1},
            "structure": {"kind": "cosine", "neighbours": 20},
        },
    }
    floor = 0.5
    order_matters = True
