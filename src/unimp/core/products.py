"""A matrix times a vector, without a warning that BLAS gives for nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def matrix_vector(matrix: FloatArray, vector: FloatArray) -> FloatArray:
    """[N, K] @ [K] -> [N], silent about invalid values: a result that is not finite is NaN, and stays so.

    OpenBLAS 0.3.31 multiplies a float32 matrix of five columns by reading four rows at a time on CPUs with
    AVX-512. Where two or three rows are left it also multiplies what lies on the stack beside them and drops
    the products: the result is right, but when those bytes happen to be a signalling NaN, NumPy finds the
    flag and warns of an "invalid value encountered in matmul". Five columns are no rarity here: a rating has
    five levels.
    """
    with np.errstate(invalid="ignore"):
        return matrix @ vector
