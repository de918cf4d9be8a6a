"""The local response by itself."""

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage
from support.equalization import loaded, masks_of, simulate

from crstack import CRStack
from crstack.equalize import (
    ResponseSettings,
    estimate_response,
    fit_nbinom_shape,
)
from crstack.equalize.terms.clean import reject_hits
from crstack.exceptions import InputError
from crstack.exposures import load_exposures


def test_response_is_recovered_and_nothing_else():
    simulated = simulate("slit", response_jitter=0.08, shape=(200, 400))
    exposures, _ = loaded(simulated)
    maps = estimate_response(exposures).maps
    true = simulated.expected / np.median(simulated.expected, axis=0)
    bright = simulated.expected.mean(axis=0) > 100
    before, after = np.std((true - 1)[:, bright]), np.std((maps / true - 1)[:, bright])
    assert after < 0.3 * before
    np.testing.assert_allclose(np.median(maps, axis=0), 1, atol=1e-5)


def test_response_of_equal_exposures_is_one():
    simulated = simulate("ifu", shape=(200, 400))
    maps = estimate_response(loaded(simulated)[0]).maps
    sigmas = np.abs(maps - 1) * simulated.expected / np.sqrt(simulated.noise.variance(simulated.expected))
    assert np.mean(np.any(maps != 1, axis=0)) < 0.2
    assert sigmas.max() < 1.5
    assert np.percentile(sigmas, 99) < 0.2


def test_response_where_there_is_no_signal_is_one(flat_exposures):
    exposures = load_exposures(
        flat_exposures(signal=0.0, shape=(60, 200)), gain=2 * u.electron / u.adu, readnoise=5 * u.electron
    )
    assert (estimate_response(exposures).maps == 1).all()


def test_response_along_y():
    simulated = simulate("slit", response_jitter=0.08, shape=(120, 260))
    exposures, _ = loaded(simulated)
    turned = exposures.transposed()
    along_x = estimate_response(exposures, ResponseSettings("x")).maps
    along_y = estimate_response(turned, ResponseSettings("y")).maps
    np.testing.assert_array_equal(along_y, along_x.transpose(0, 2, 1))


def test_response_never_eats_a_hit(flat_exposures):
    planes = flat_exposures(shape=(80, 512), signal=300.0)
    # a track of 60 pixels along the row, and one that crosses it
    planes[1].value[40, 100:160] += 250
    planes[2].value[20:60, 300] += 250
    exposures = load_exposures(planes, gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    maps = estimate_response(exposures).maps
    assert np.abs(maps[1, 40, 100:160] - 1).max() < 0.03
    assert np.abs(maps[2, 20:60, 300] - 1).max() < 0.03


def test_surroundings_of_rejected_hits_do_not_count(flat_exposures):
    """They hold the faint rim of the hit."""
    planes = flat_exposures(signal=300.0)
    planes[1].value[20, 25] += 400
    exposures = load_exposures(planes, gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    ok = reject_hits(exposures, exposures.usable, (1.0, 1.0, 1.0)).ok
    expected = np.ones(exposures.shape, dtype=bool)
    expected[19:22, 24:27] = False
    np.testing.assert_array_equal(ok, expected)
    assert fit_nbinom_shape(exposures).n_pixels == expected.sum()


def test_dark_rows_have_no_response():
    """Where the weights are noise themselves, they must not count as signal."""
    simulated = simulate("ifu", shape=(200, 400), hit_rate=0.0)
    maps = estimate_response(loaded(simulated)[0]).maps
    assert np.mean(np.any(maps != 1, axis=0)) < 0.05


def test_response_gives_right_variances():
    simulated = simulate("slit", response_jitter=0.08)
    stack, _ = masks_of(simulated, response="auto")
    common = np.median(simulated.expected, axis=0)
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    ccd = stack.combine("meancr2")
    pull = ((ccd.data - common) / np.sqrt(ccd.uncertainty.array))[clean]
    assert np.std(pull) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": "z"}, "axis must be one of x, y; got 'z'"),
        ({"lengths": (2,)}, "lengths must be a number at least 8; got 2"),
    ],
)
def test_wrong_response_settings(options, message):
    with pytest.raises(InputError, match=message):
        ResponseSettings(**options)


def test_real_exposures_agree_after_response(sprat_files):
    options = {"unit": u.adu, "gain": 2.45 * u.electron / u.adu, "readnoise": 2.1 * u.adu, "bias": 916 * u.adu}
    star = np.r_[65:80, 121:136]
    sky = np.setdiff1d(np.arange(254), star)
    stack = CRStack.from_files(sprat_files[:3], response="auto", **options)
    stack.mm_diagram(aux="lacosmic", n_simulations=20, nbinom_shape="auto")
    crmasks = stack.detect(aux="lacosmic").crmasks
    assert crmasks[:, star].mean() < 2 * crmasks[:, sky].mean()
