"""Settings of a network over sequences that learns the toy world in a second."""

from typing import Any

QUICK: dict[str, Any] = {
    "width": 16,
    "epochs": 30,
    "patience": 30,
    "validate_every": 5,
    "dropout": 0.1,
    "lr": 0.01,
    "threads": 1,
    "max_events": 8,
}
