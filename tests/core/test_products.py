"""A matrix times a vector, without BLAS's false alarm."""

from __future__ import annotations

import numpy as np
import pytest

from unimp.core.products import matrix_vector


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
def test_it_is_the_product(rows: int) -> None:
    matrix = np.arange(rows * 5, dtype=np.float32).reshape(rows, 5)
    levels = np.arange(1, 6, dtype=np.float32)
    expected = [sum(row[level] * levels[level] for level in range(5)) for row in matrix]
    np.testing.assert_allclose(matrix_vector(matrix, levels), expected, rtol=1e-6)


def test_invalid_values_stay_in_the_result_and_do_not_warn() -> None:
    matrix = np.array([[np.inf, 1.0], [1.0, 1.0]], dtype=np.float32)
    found = matrix_vector(matrix, np.array([0.0, 2.0], dtype=np.float32))  # inf x 0
    assert np.isnan(found[0])
    assert found[1] == 2.0
