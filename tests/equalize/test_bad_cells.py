"""Terms along rows and columns where an exposure has bad values."""

import numpy as np
import pytest

from crstack.equalize import measure_differences
from crstack.equalize.fit.lines.bad_cells import complete
from crstack.equalize.fit.lines.lines import fit_lines

READ_NOISE = 4.0
#: columns, in the core of a line that rises, in which the last exposure has bad values
BLANK = slice(28, 32)


def rising_lines(n, drift, seed, shape=(96, 160)):
    """Expected exposures (N, ny, nx) of an arc lamp half of whose lines rise, and noisy ones."""
    x = np.arange(shape[1])
    places, fluxes = np.arange(10, shape[1], 20), np.geomspace(2e4, 2e5, shape[1] // 20)
    lines = fluxes[:, None] * np.exp(-0.5 * ((x - places[:, None]) / 1.6) ** 2) / 4
    rises = (np.arange(len(places)) % 2 == 1)[:, None]
    expected = np.array([5 + (lines * (1 + drift * i * rises)).sum(axis=0) for i in range(n)])
    expected = np.repeat(expected[:, None], shape[0], axis=1)
    rng = np.random.default_rng(seed)
    return expected, (rng.poisson(expected) + rng.normal(0, READ_NOISE, expected.shape)).astype(np.float32)


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READ_NOISE**2)


def mean_of_all(found):
    """Mean of the expected images of all exposures."""
    return np.mean([scale * found.common + added for scale, added in zip(found.scales, found.added, strict=True)], 0)


@pytest.mark.parametrize(("n", "axis"), [(3, "y"), (4, "x")])
def test_level_of_lines_with_bad_columns_is_that_of_all_exposures(n, axis):
    truth, levels = rising_lines(n, 0.08, 50 + n)
    bad = np.zeros(levels.shape, bool)
    # the second exposure is bad in the core of another line that rises
    bad[n - 1, :, BLANK] = bad[1, :, 69:71] = True
    along = 0 if axis == "y" else 1
    if axis == "x":
        truth, levels, bad = (np.ascontiguousarray(one.transpose(0, 2, 1)) for one in (truth, levels, bad))
    found = measure_differences(np.where(bad, 0, levels), variance_of, bad)
    ratio = mean_of_all(found).sum(axis=along) / truth.mean(axis=0).sum(axis=along)
    # .963 at the level of the others
    assert ratio[BLANK] == pytest.approx(1, abs=0.013)
    assert ratio[69:71] == pytest.approx(1, abs=0.006)
    # lines without bad values
    assert ratio[[50, 90, 110, 130]] == pytest.approx(1, abs=0.003)


def rows_that_differ(deviations, seed=3, columns=200):
    """Residuals (N, ny, nx) of rows with some deviations (N, ny) of a bright regressor."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 5, (*deviations.shape, columns))
    ones = np.full((deviations.shape[1], columns), np.float32(100))
    return (100 * deviations[..., None] + noise).astype(np.float32), ones, np.full_like(ones, 25)


def test_a_row_without_values_has_the_deviation_of_those_beside():
    deviations = np.array([-0.1, 0.0, 0.1])[:, None] * np.ones(30)
    residuals, ones, variance = rows_that_differ(deviations)
    # relative to the mean of the two exposures that are known
    residuals[:2, 12:16] += 5
    residuals[2, 12:16] = np.nan
    share, _ = fit_lines(residuals, ones, variance)
    assert share[:, 12:16].mean(axis=(1, 2)) == pytest.approx([-0.1, 0, 0.1], abs=0.005)
    assert share.mean(axis=0) == pytest.approx(0, abs=1e-6)


def test_a_row_without_values_has_no_deviation_of_unlike_rows():
    rows = np.random.default_rng(1).normal(0, 0.1, (3, 60))
    rows -= rows.mean(axis=0)
    residuals, ones, variance = rows_that_differ(rows)
    unknown = slice(30, 34)
    residuals[2, unknown] = np.nan
    share, _ = fit_lines(residuals, ones, variance)
    # the known ones differ as they do, relative to each other
    known = rows[0, unknown] - rows[1, unknown]
    assert (share[0] - share[1])[unknown].mean(axis=1) == pytest.approx(known, abs=0.02)


def test_half_of_a_row_without_values_does_not_halve_its_deviation():
    deviations = np.array([-0.1, 0.0, 0.1])[:, None] * np.ones(30)
    residuals, ones, variance = rows_that_differ(deviations)
    residuals[2, 13, :100] = np.nan
    residuals[:2, 13, :100] += 5
    share, _ = fit_lines(residuals, ones, variance, lengths=())
    assert share[:, 13].mean(axis=1) == pytest.approx([-0.1, 0, 0.1], abs=0.012)


def test_cells_that_are_far_from_known_ones_stay():
    deviations, information = np.zeros((3, 60, 1, 2)), np.ones((3, 60, 1, 2))
    deviations[:, :5] = np.array([-1, 0, 1])[:, None, None, None]
    # relative to the two exposures that are known there
    deviations[:2, 5:9] = np.array([-0.5, 0.5])[:, None, None, None]
    information[2, 5:] = 0
    found, filled = complete(deviations, information, np.ones((60, 1, 2)))
    assert found[2, 6, 0, 0] > 0.5
    assert not found[:, 40].any()
    assert (filled == 1).all()
