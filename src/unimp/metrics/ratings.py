"""How far foretold ratings are from those given: RMSE and MAE, in the units of the ratings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unimp.core.errors import UnimpError
from unimp.metrics.scored import mean_or_nan


def rating_metrics(predictions: npt.ArrayLike, truth: npt.ArrayLike) -> dict[str, float]:
    """RMSE and MAE over N predictions, and `unscored`, the share of them without a number.

    A NaN prediction is unscored and left out, never taken for zero; so is a case whose truth is NaN. RMSE and
    MAE are NaN when nothing is scored. UnimpError when the two are not of one length.
    """
    foretold, given = np.asarray(predictions, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if foretold.shape != given.shape or foretold.ndim != 1:
        raise UnimpError(f"ratings: {foretold.shape} predictions for {given.shape} true ratings")
    errors = foretold - given
    errors = errors[~np.isnan(errors)]
    return {
        "RMSE": mean_or_nan(errors**2) ** 0.5,
        "MAE": mean_or_nan(np.abs(errors)),
        "unscored": 1.0 - len(errors) / max(1, len(foretold)),
    }
