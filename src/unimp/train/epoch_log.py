"""`log.jsonl` of a run: a line per epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from unimp.train.state import Position
from unimp.train.validator import ValidationScores


def log_epoch(
    path: Path, position: Position, scores: ValidationScores, learning_rate: float, gates: Sequence[float]
) -> None:
    """Add the epoch that ended at `position`; `gates` are those of the cross-attention, after tanh."""
    row = {
        "epoch": position.epoch,
        "step": position.step,
        "loss": position.loss_sum / max(position.loss_count, 1),
        "components": {name: total / n for name, (total, n) in position.components.items()},
        "padding": position.padding / max(position.places, 1),
        "lr": learning_rate,
        "valid": scores.metrics,
        "score": scores.score,
        "gates": gates,
        "seconds": position.seconds,
    }
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def trim_log(path: Path, epoch: int) -> None:
    """Drop lines that a killed run wrote after its last state, which has `epoch` epochs."""
    if path.exists():
        rows = [line for line in path.read_text().splitlines() if line.endswith("}")]
        kept = [line for line in rows if json.loads(line)["epoch"] <= epoch]
        path.write_text("".join(line + "\n" for line in kept))
