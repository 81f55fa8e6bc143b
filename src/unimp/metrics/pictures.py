"""Whether drawn pictures look like real ones, how varied they are, and whether they show what was asked for.

Distances are between feature matrices [N, F] of pictures: which features is the caller's choice, and figures
compare only under the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unimp.core.errors import UnimpError
from unimp.metrics.scored import mean_or_nan

Features = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Wide = npt.NDArray[np.float64]


def psnr(pictures: npt.NDArray[np.uint8], originals: npt.NDArray[np.uint8]) -> dict[str, float]:
    """`PSNR` in dB: the mean over pictures [N, Y, X, 3] of 10 log10(255² / mean squared error).

    A picture without any error counts as 100 dB.
    """
    if pictures.shape != originals.shape:
        raise UnimpError(f"PSNR: {pictures.shape} pictures against {originals.shape} originals")
    values = []
    for drawn, original in zip(pictures, originals, strict=True):
        error = float(((drawn.astype(np.float64) - original.astype(np.float64)) ** 2).mean())
        values.append(min(100.0, 10.0 * np.log10(255.0**2 / error)) if error else 100.0)
    return {"PSNR": mean_or_nan(values)}


def picture_metrics(drawn: Features, real: Features, *, seed: int = 0) -> dict[str, float]:
    """`FID`, `KID` and `diversity` of drawn pictures, and `diversity-real` of the real ones.

    drawn [N, F], real [M, F]; the lower FID and KID, the more alike. Both need at least two of either.
    """
    return {
        "FID": frechet_distance(drawn, real),
        "KID": kernel_distance(drawn, real, seed=seed),
        "diversity": diversity(drawn),
        "diversity-real": diversity(real),
    }


def frechet_distance(drawn: Features, real: Features) -> float:
    """|μ₁ - μ₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½), Heusel et al. (NeurIPS 2017, eq. 6); NaN for fewer than two.

    tr (C₁ C₂)^½ is the sum of the singular values of A₁ A₂ᵀ for Cᵢ = Aᵢᵀ Aᵢ, which needs no root of a matrix.
    """
    first, second = checked(drawn, real)
    if min(len(first), len(second)) < 2:
        return float("nan")
    apart = first.mean(axis=0) - second.mean(axis=0)
    roots = [(part - part.mean(axis=0)) / np.sqrt(len(part) - 1) for part in (first, second)]
    traces = sum(float((root**2).sum()) for root in roots)
    small = [np.linalg.qr(root).R for root in roots]
    shared = np.linalg.svd(small[0] @ small[1].T, compute_uv=False).sum()
    return max(0.0, float(apart @ apart) + traces - 2.0 * float(shared))


def kernel_distance(
    drawn: Features, real: Features, *, subsets: int = 50, size: int = 500, seed: int = 0
) -> float:
    """Unbiased squared MMD under (x·y / F + 1)³, the mean over random subsets, Bińkowski et al. (ICLR 2018).

    It may be a little below zero for samples of one distribution; NaN for fewer than two pictures.
    """
    first, second = checked(drawn, real)
    size = min(size, len(first), len(second))
    if size < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        x = first[rng.choice(len(first), size, replace=False)]
        y = second[rng.choice(len(second), size, replace=False)]
        values.append(unbiased_mmd(x, y))
    return mean_or_nan(values)


def unbiased_mmd(x: Wide, y: Wide) -> float:
    """Squared maximum mean discrepancy of two samples of the same size, Gretton et al. (2012, eq. 4)."""
    size = len(x)
    own = [cubic(part, part) for part in (x, y)]
    within = sum((kernel.sum() - np.trace(kernel)) / (size * (size - 1)) for kernel in own)
    return float(within - 2.0 * cubic(x, y).mean())


def cubic(x: Wide, y: Wide) -> Wide:
    return np.asarray((x @ y.T / x.shape[1] + 1.0) ** 3)


def likeness(drawn: Features, real: Features) -> Wide:
    """[N] cosine of each drawn picture's features with those of its own real one, both [N, F] and less the
    mean of the real ones."""
    first, second = checked(drawn, real)
    if len(first) != len(second):
        raise UnimpError(f"likeness: {len(first)} drawn pictures for {len(second)} real ones")
    first, second = (part - second.mean(axis=0) for part in (first, second))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / np.maximum(lengths, 1e-12))


def diversity(features: Features) -> float:
    """Mean Euclidean distance of two different pictures' features; NaN for fewer than two."""
    rows = np.asarray(features, dtype=np.float64)
    if len(rows) < 2:
        return float("nan")
    total = sum(
        float(np.linalg.norm(rows[place + 1 :] - row, axis=1).sum()) for place, row in enumerate(rows)
    )
    return float(total / (len(rows) * (len(rows) - 1) / 2))


def label_agreement(shown: Sequence[str | None], wanted: Sequence[str | None]) -> dict[str, float]:
    """`agreement`: the share of pictures that show the wanted label; `unscored`: those with none wanted."""
    if len(shown) != len(wanted):
        raise UnimpError(f"agreement: {len(shown)} labels for {len(wanted)} wanted")
    hits = [float(seen == label) for seen, label in zip(shown, wanted, strict=True) if label is not None]
    return {"agreement": mean_or_nan(hits), "unscored": 1.0 - len(hits) / max(1, len(shown))}


def checked(drawn: Features, real: Features) -> tuple[Wide, Wide]:
    """Both in double precision; UnimpError when they are not features of one kind."""
    if drawn.ndim != 2 or real.ndim != 2 or drawn.shape[1] != real.shape[1]:
        raise UnimpError(f"features: {drawn.shape} drawn against {real.shape} real; expected [N, F] of one F")
    return np.asarray(drawn, dtype=np.float64), np.asarray(real, dtype=np.float64)
