"""Noise that the pixels of a row share."""

import warnings

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack, MaskSet
from crstack.equalize.variance.row_noise import shared_noise
from crstack.exceptions import CRStackWarning


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_noise_of_rows_is_measured(n):
    rows = np.random.default_rng(1).normal(0, 8, (n, 400))
    assert shared_noise(rows - rows.mean(axis=0)) == pytest.approx(8, rel=0.12)


def test_smooth_levels_and_single_lines_are_no_noise_of_rows():
    place = np.arange(400)
    smooth = np.array([np.sin(place / 5), -np.sin(place / 5)]) * 30
    assert shared_noise(smooth) == 0
    assert shared_noise(np.where(place % 20 == 3, 50.0, 0.0) * np.array([[1], [-1]])) == 0
    wide = np.array([np.exp(-((place % 40 - 20) ** 2) / 8), -np.exp(-((place % 40 - 20) ** 2) / 8)]) * 30
    assert shared_noise(wide) == 0


def narrow_lines():
    """Levels of rows that narrow lines of the sky change, in three exposures that differ in the sky and the place."""
    rng, place = np.random.default_rng(4), np.arange(120)
    middles, heights = rng.uniform(0, 120, 45), rng.lognormal(6, 1, 45)
    rows = np.array([
        sky * (heights * np.exp(-0.5 * ((place[:, None] - middles - shift) / 0.5) ** 2)).sum(axis=1)
        for sky, shift in ((1, 0), (1.3, 0.1), (1.1, -0.1))
    ])  # fmt: skip
    return rows - rows.mean(axis=0), rows.mean(axis=0)


def test_narrow_lines_of_a_sky_that_differs_are_no_noise_of_rows():
    """They change the levels from row to row, but only where the common image changes too."""
    profiles, level = narrow_lines()
    assert shared_noise(profiles) > 30
    assert shared_noise(profiles, level) < 4


def test_the_noise_of_rows_is_measured_beside_lines_of_the_sky():
    profiles, level = narrow_lines()
    rows = np.random.default_rng(5).normal(0, 15, profiles.shape)
    profiles = profiles + rows - rows.mean(axis=0)
    assert 10 < shared_noise(profiles, level + rows.mean(axis=0)) < 20


def test_no_warning_of_noise_in_columns_of_a_binned_spectrum():
    """The uncertainty of the combined image would be twice too large."""
    rng = np.random.default_rng(27)
    y, x = np.mgrid[:160, :360]
    middles, heights = rng.uniform(0, 360, 30), rng.lognormal(6, 1.2, 30)
    images = []
    for sky, throughput, shift in ((1, 1, 0), (1.3, 0.85, 0.2), (1.1, 0.9, 0.4)):
        course = x - shift + 4 * (y / 80 - 1) ** 2
        lines = zip(middles, heights, strict=True)
        light = 80 + sum(height * np.exp(-0.5 * ((course - middle) / 2.2) ** 2) for middle, height in lines)
        trace = 700 * np.exp(-0.5 * ((y - 88 - 0.03 * (x - 180) - shift) / 1.3) ** 2)
        binned = (sky * light + throughput * trace).reshape(160, 90, 4).sum(axis=2)
        images.append(rng.poisson(binned) + rng.normal(0, 5, binned.shape))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        CRStack([one.astype(np.float32) for one in images], unit=u.electron, readnoise=5 * u.electron).detect()
    assert not [one for one in caught if "random levels" in str(one.message)]


@pytest.mark.parametrize("sigma", [0.0, 9.0])
def test_a_warning_of_noise_in_rows(sigma):
    rng = np.random.default_rng(25)
    images = [
        rng.poisson(30, (150, 140)) + rng.normal(0, 5, (150, 140)) + rng.normal(0, sigma, (150, 1)) for _ in range(3)
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        CRStack([one.astype(np.float32) for one in images], unit=u.electron, readnoise=5 * u.electron).detect()
    words = [str(one.message) for one in caught if "the rows of each exposure have random levels" in str(one.message)]
    assert len(words) == (1 if sigma else 0)
    if sigma:
        assert "Subtract the overscan of each of the rows first" in words[0]


@pytest.mark.filterwarnings("ignore:the exposures scatter by")  # differences along a row contain the levels of columns
@pytest.mark.parametrize(("n", "along"), [(2, "rows"), (4, "columns")])
def test_the_noise_of_rows_is_in_the_variance_of_combined_images(n, along, tmp_path):
    """The decision knows the level of each row, but the mean of the exposures keeps the mean of these levels."""
    rng = np.random.default_rng(26)
    images = [rng.poisson(30, (400, 90)) + rng.normal(0, 5, (400, 90)) + rng.normal(0, 9, (400, 1)) for _ in range(n)]
    images = [one if along == "rows" else one.T for one in images]
    stack = CRStack([one.astype(np.float32) for one in images], unit=u.electron, readnoise=5 * u.electron)
    with pytest.warns(CRStackWarning, match=f"levels that differ by .*in whole {along}. The uncertainty of"):
        masks = stack.detect()
    masks.write(tmp_path / "crmasks.fits")
    for one in (masks, MaskSet.read(tmp_path / "crmasks.fits")):
        for name in ("meanjoint", "meancr2"):
            ccd = stack.combine(name, masks=one)
            pull = (ccd.data - np.median(ccd.data)) / np.sqrt(ccd.uncertainty.array)
            # 1.5 without it
            assert np.sqrt(np.mean(np.clip(pull, -5, 5) ** 2)) == pytest.approx(1, abs=0.12)
    # the masks themselves do not get coarser: hits of 6 standard deviations beside the levels of the rows are found
    assert 81 / 2 < np.median(masks.excess_variance) < 81 * 1.5
    # where a value may be hit, the variance is at least that of the mean of all exposures
    possible = masks.signal_variance > 0
    assert possible.sum() > 10
    assert np.median(masks.signal_variance[possible]) > 0.8 * (81 + 30 + 25) / n
