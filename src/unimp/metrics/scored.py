"""Means over what was scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def mean_or_nan(values: npt.NDArray[np.float64] | Sequence[float]) -> float:
    """The mean, NaN when there is nothing to take it of."""
    return float(np.mean(values)) if len(values) else float("nan")
