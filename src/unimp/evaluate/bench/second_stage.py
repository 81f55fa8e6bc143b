"""`FusionRecord`: what a result file says of the second stage, and the blocks that a table has from it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from unimp.core.config import Config
from unimp.fusion.config import FusionConfig, FusionKind

ALONE = "models alone"
OWN_MIXTURE = "a method's own mixture"


class FusionRecord(Config):
    """Which fusion stood over the method's scores, how it was fitted, and what validation said of it."""

    kind: FusionKind = "none"
    settings: dict[str, Any] = Field(default_factory=dict)
    """The fusion's resolved config."""
    details: dict[str, Any] = Field(default_factory=dict)
    """Features, weights, out-of-fold NDCG@5, what the data lack, cases without scores of the method."""
    seconds_fit: float = 0.0
    """Fitting the second stage, on the clock, the method's own fit not included."""

    @property
    def identity(self) -> list[Any]:
        """What makes two fusions the same undertaking."""
        return [self.kind, self.settings]

    def words(self) -> str:
        """`learned fusion`, whether methods were refitted, and the settings that are not the usual ones."""
        refitted = ", refitted methods" if self.settings.get("refit_method") else ""
        usual = FusionConfig(kind=self.kind).model_dump(mode="json")
        unusual = {
            key: value
            for key, value in self.settings.items()
            if key != "refit_method" and usual.get(key) != value
        }
        told = ", ".join(f"{key}={value}" for key, value in unusual.items())
        return f"{self.kind} fusion{refitted}" + (f" ({told})" if told else "")


def block_order(name: str) -> tuple[int, str]:
    """Models alone first, then closed and learned fusions, own mixtures last."""
    order = (ALONE, "closed", "learned", OWN_MIXTURE)
    place = next((place for place, start in enumerate(order) if name.startswith(start)), len(order))
    return place, name
