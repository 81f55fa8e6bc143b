"""Whether the right ones of some candidates were chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unimp.core.errors import UnimpError
from unimp.metrics.scored import mean_or_nan

SELECTION_METRICS = ("accuracy", "precision", "recall", "F1")


def case_values(chosen: Sequence[int], true: Sequence[int]) -> tuple[float, float, float, float]:
    """Accuracy (exactly the true set), precision, recall and F1 of one case.

    A place named twice counts once. Precision is 0 when nothing was chosen, F1 0 when nothing is right.
    """
    picked, wanted = set(chosen), set(true)
    right = len(picked & wanted)
    precision, recall = right / max(1, len(picked)), right / max(1, len(wanted))
    f1 = 2.0 * right / max(1, len(picked) + len(wanted))
    return float(picked == wanted), precision, recall, f1


def selection_metrics(
    chosen: Sequence[npt.NDArray[np.int64]], true: Sequence[npt.NDArray[np.int64]]
) -> dict[str, float]:
    """Means over the cases of accuracy, precision, recall and F1, as fractions.

    chosen, true: per case the places (0-based) of the chosen and of the right candidates. A case with nothing
    right to choose is unscored: left out, and counted in `unscored` as a share. UnimpError when the two are
    not of one length.
    """
    if len(chosen) != len(true):
        raise UnimpError(f"selection: {len(chosen)} choices for {len(true)} cases")
    values = [
        case_values(picked.tolist(), wanted.tolist())
        for picked, wanted in zip(chosen, true, strict=True)
        if len(wanted)
    ]
    columns = zip(*values, strict=True) if values else ((),) * len(SELECTION_METRICS)
    means = {name: mean_or_nan(column) for name, column in zip(SELECTION_METRICS, columns, strict=True)}
    return means | {"unscored": 1.0 - len(values) / max(1, len(chosen))}
