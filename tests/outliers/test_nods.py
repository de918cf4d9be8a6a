"""Profiles of traces that moved between the exposures."""

import numpy as np
import pytest

from crstack.outliers.nods import _medians


@pytest.mark.parametrize("n", [8, 9])
def test_medians_of_rows_are_those_of_numpy(n):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(50, n))
    rows[rng.random(rows.shape) < 0.3] = np.nan
    rows[:, 0] = 1.5  # no row without a value
    before = rows.copy()
    assert np.array_equal(_medians(rows), np.nanmedian(rows, axis=1))
    assert np.array_equal(rows, before, equal_nan=True)
