"""Exposures in a unit per second, other spellings of units, and invalid values."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty

from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures, read_exposure

SHAPE = (40, 50)
NOISE = {"gain": 1 * u.electron / u.adu, "readnoise": 4 * u.electron}


def counts(n=3, seed=4):
    rng = np.random.default_rng(seed)
    return [rng.poisson(100.0, SHAPE) + rng.normal(0, 4, SHAPE) for _ in range(n)]


@pytest.mark.parametrize("unit", [u.electron, u.adu])
def test_rates_become_counts_by_the_exposure_time(unit):
    images = counts()
    ccds = [CCDData(image / 300, unit=unit / u.s, meta={"EXPTIME": 300.0}) for image in images]
    numbers = NOISE | {"gain": 1 * u.electron / u.adu}
    exposures = load_exposures(ccds, **numbers)
    np.testing.assert_allclose(exposures.data, images, rtol=1e-6)
    assert (exposures.unit, exposures.given_unit) == (unit, unit / u.s)
    assert exposures.rate_seconds == 300
    assert exposures.share_noise
    assert exposures.noise_of(0).variance(np.float32(100)) == pytest.approx(116)


def test_rates_of_different_exposure_times_have_their_own_noise():
    images = counts()
    images[2] = np.random.default_rng(8).poisson(200.0, SHAPE) + np.random.default_rng(9).normal(0, 4, SHAPE)
    times = [300, 300, 600] * u.s
    ccds = [CCDData(image / time.value, unit="electron/s") for image, time in zip(images, times, strict=True)]
    exposures = load_exposures(ccds, exptime=times, **NOISE)
    # on the scale of the mean exposure time, 400 s
    np.testing.assert_allclose(np.median(exposures.data, axis=(1, 2)), 133, atol=2)
    np.testing.assert_allclose(exposures.data[2], images[2] * 400 / 600, rtol=1e-6)
    level = np.float32(400 / 3)
    for i, (time, rate) in enumerate(zip((300, 300, 600), (1 / 3,) * 3, strict=True)):
        variance = (rate * time + 16) * (400 / time) ** 2
        assert exposures.noise_of(i).variance(level) == pytest.approx(variance, rel=1e-5)


def test_rates_without_exposure_time_are_refused():
    ccds = [CCDData(image, unit="electron/s", meta={"EXPTIME": 0.0}) for image in counts()]
    with pytest.raises(InputError, match="exptime must be given for exposures in electron / s, such as exptime=300"):
        load_exposures(ccds, **NOISE)


@pytest.mark.parametrize(
    ("exptime", "message"),
    [
        (300, "exptime must be a Quantity"),
        (300 * u.m, "exptime must be in s; got m"),
        (0 * u.s, "exptime must be greater than 0"),
        ([300, 300] * u.s, r"exptime must be one value, or 3 for as many exposures; got 2"),
        (
            "300 s",
            "exptime must be a Quantity such as 300 . u.s, or a keyword .*'header:EXPTIME'; got the text '300 s'",
        ),
    ],
)
def test_wrong_exposure_times(exptime, message):
    with pytest.raises(InputError, match=message):
        load_exposures([CCDData(image, unit="adu/s") for image in counts()], exptime=exptime, **NOISE)


def test_uncertainties_of_rates_are_multiplied_too():
    ccds = [
        CCDData(image / 300, unit="electron/s", uncertainty=StdDevUncertainty(np.full(SHAPE, 11 / 300)))
        for image in counts()
    ]
    exposures = load_exposures(ccds, exptime=5 * u.min, **NOISE)
    np.testing.assert_allclose(exposures.variances[0], 121, rtol=1e-5)


def test_the_unit_of_an_uncertainty_counts():
    variance = VarianceUncertainty(np.full(SHAPE, 110.0), unit=u.adu**2)
    exposures = load_exposures([CCDData(image, unit=u.adu, uncertainty=variance) for image in counts()], **NOISE)
    np.testing.assert_allclose(exposures.variances[2], 110)
    metres = NDData(counts(1)[0], unit=u.adu)
    metres.uncertainty = VarianceUncertainty(np.full(SHAPE, 30.0), unit=u.adu**2)
    metres.uncertainty._unit = u.m
    with pytest.raises(InputError, match=r"uncertainty of exposure 1 must be in adu; got a variance in m"):
        load_exposures([metres, *[CCDData(image, unit=u.adu) for image in counts(2, 5)]], **NOISE)


def test_files_in_rates(tmp_path):
    paths = []
    for i, image in enumerate(counts()):
        hdu = fits.PrimaryHDU((image / 300).astype(np.float32))
        hdu.header.update({"BUNIT": "ELECTRONS/S", "EXPOSURE": (300.0, "[s] time")})
        paths.append(tmp_path / f"{i}.fits")
        hdu.writeto(paths[-1])
    exposures = load_exposures(paths, **NOISE)
    assert exposures.exptimes == (300, 300, 300)
    np.testing.assert_allclose(np.median(exposures.data), 100, atol=2)
    # a given unit replaces BUNIT
    assert read_exposure(paths[0], unit=u.electron).unit == u.electron


@pytest.mark.parametrize("value", [1e30, -1e30, 1.6e38, -3e38, np.inf])
def test_values_that_stand_for_no_value_are_bad(value):
    images = counts()
    images[1][3, 4] = value
    exposures = load_exposures([CCDData(image, unit=u.adu) for image in images], **NOISE)
    assert np.argwhere(exposures.bad).tolist() == [[1, 3, 4]]
    assert exposures.data[1, 3, 4] == 0


def test_uncertainties_far_below_the_read_noise_are_bad_with_a_warning():
    images = counts()
    variance = np.full(SHAPE, 116.0)
    variance[2, 3], variance[2, 4], variance[2, 5] = 0, 1e-9, np.nan
    ccds = [CCDData(image, unit="electron", uncertainty=VarianceUncertainty(variance)) for image in images]
    with pytest.warns(CRStackWarning, match="0 or far below the read noise make bad values: 2 in exposure 1, 2 in exp"):
        exposures = load_exposures(ccds, readnoise=4 * u.electron)
    assert np.argwhere(exposures.bad[0]).tolist() == [[2, 3], [2, 4], [2, 5]]


def test_an_uncertainty_without_a_usable_value_is_refused():
    ccds = [CCDData(image, unit=u.adu, uncertainty=InverseVariance(np.zeros(SHAPE))) for image in counts()]
    with pytest.raises(InputError, match="uncertainty of exposure 1 must be a positive number somewhere; got none"):
        load_exposures(ccds, **NOISE)


def test_cubes_of_one_plane_are_images():
    images = counts()
    ccds = [CCDData(image[None], unit=u.adu, mask=(image > 150)[None]) for image in images]
    assert load_exposures(ccds, **NOISE).shape == SHAPE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: CCDData(image[:4], unit="adu"), r"must be at least 5 x 5 pixels; got the shape \(4, 50\)"),
        (
            lambda image: CCDData(image, unit="MJy/sr"),
            "unit of exposure 1 must be adu .*; got MJy / sr. Noise is known in these only: use the exposures before",
        ),
        (
            lambda image: NDData(image, unit="adu", mask=np.zeros((3, 3), bool)),
            "mask of exposure 1 must have the shape",
        ),
        (lambda image: CCDData(image * 1j, unit="adu"), "image of real numbers; got complex128 for exposure 1"),
        (lambda image: image.astype(object) * u.one, "exposure must be an image of real numbers|unit of exposure 1"),
        (
            lambda image: CCDData(np.stack([image] * 2), unit="adu"),
            r"2-D image; got 3 dimensions for exposure 1, \(2, .*\): give its planes one by one, each with ccd.data",
        ),
        (
            lambda image: CCDData(image[0], unit="adu"),
            "2-D image; got 1 dimension for exposure 1: give the image of a spectrum before its extraction",
        ),
    ],
)
def test_images_that_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        load_exposures([change(image) for image in counts()], **NOISE)


@pytest.mark.parametrize("unit", ["ct", "DN", u.adu])
def test_counts_and_dn_are_adu(unit):
    assert load_exposures([image * u.Unit(unit) for image in counts()], **NOISE).unit == u.adu


def test_reordered_takes_all_that_belongs_to_an_exposure():
    """Values, bad values, variances, times, saturated values and scales go together."""
    images = counts()
    images[0][5, 6] = 1e5
    ccds = [
        CCDData(
            image, unit="electron", uncertainty=VarianceUncertainty(np.full(SHAPE, 100.0 + i)), meta={"EXPTIME": 300}
        )
        for i, image in enumerate(images)
    ]
    exposures = load_exposures(ccds, saturation=5e4 * u.electron, **NOISE).divided_by([1.0, 2.0, 4.0])
    exposures = replace(exposures, exptimes=(300.0, 301.0, None))
    turned = exposures.reordered([2, 0, 1])
    assert turned.exptimes == (None, 300.0, 301.0)
    for new, old in enumerate((2, 0, 1)):
        np.testing.assert_array_equal(turned.data[new], exposures.data[old])
        np.testing.assert_array_equal(turned.bad[new], exposures.bad[old])
        np.testing.assert_array_equal(turned.saturated[new], exposures.saturated[old])
        np.testing.assert_array_equal(turned.variances[new], exposures.variances[old])
        assert turned.scales[new] == exposures.scales[old]
        assert turned.names[new] == exposures.names[old]
        expected = np.full(SHAPE, np.float32((100 + old) / (1, 2, 4)[old] ** 2))
        expected[exposures.bad[old]] = 1 / np.float32((1, 2, 4)[old] ** 2)
        np.testing.assert_allclose(turned.noise_of(new).variance(np.zeros(SHAPE)), expected, rtol=1e-6)


def test_noise_of_an_average_of_scaled_exposures_takes_the_mean_gain():
    """Photons per unit are averaged, so the scale is harmonic."""
    exposures = load_exposures([CCDData(image, unit="electron") for image in counts()], **NOISE)
    scaled = exposures.divided_by([1.0, 2.0, 4.0])
    noise = scaled.noise_of_average(3)
    assert noise.electrons_per_unit == pytest.approx(3 / np.mean([1, 1 / 2, 1 / 4]))


def test_exposures_are_divided_twice():
    exposures = load_exposures([CCDData(image, unit="electron") for image in counts()], **NOISE)
    twice = exposures.divided_by([1.0, 2.0, 4.0]).divided_by([5.0, np.full(SHAPE, 3.0), 0.5])
    once = exposures.divided_by([5.0, 6.0, 2.0])
    np.testing.assert_allclose(twice.data, once.data, rtol=1e-6)
    for i in range(3):
        np.testing.assert_allclose(
            np.broadcast_to(twice.noise_of(i).variance(np.full(SHAPE, 30.0)), SHAPE),
            np.broadcast_to(once.noise_of(i).variance(np.full(SHAPE, 30.0)), SHAPE),
            rtol=1e-6,
        )


@pytest.mark.parametrize("given", ["electron", "adu / s"])
@pytest.mark.parametrize("make", [lambda image: CCDData(image, unit="adu"), lambda image: image * u.adu])
def test_a_unit_that_is_not_that_of_the_exposures_is_refused(make, given):
    """It was ignored for a CCDData, and took the place of that of a Quantity."""
    rng = np.random.default_rng(3)
    images = [make(rng.normal(100, 10, SHAPE)) for _ in range(2)]
    options = {"gain": 1 * u.electron / u.adu, "readnoise": 4 * u.electron}
    match = f"unit must be left out for exposures that have one, or be the same; got {given}, and exposure 1 is in adu"
    with pytest.raises(InputError, match=match):
        load_exposures(images, unit=given, **options)
    assert load_exposures(images, unit="adu", **options).unit == u.adu


def test_exposures_without_a_unit_get_the_given_one():
    rng = np.random.default_rng(3)
    images = [rng.normal(100, 10, SHAPE) for _ in range(3)]
    mixed = [images[0], images[1] * u.dimensionless_unscaled, CCDData(images[2], unit="")]
    options = {"gain": 1 * u.electron / u.adu, "readnoise": 4 * u.electron}
    assert load_exposures(mixed, unit=u.adu, **options).unit == u.adu


@pytest.mark.parametrize(("unit", "missing"), [("electron/s", "readnoise"), ("adu", "readnoise"), ("adu", "gain")])
def test_why_noise_is_needed_beside_uncertainties(unit, missing):
    """The message names the exposure with an uncertainty, and states what gain and read noise are used for."""
    ccds = [
        CCDData(image / 300, unit=unit, uncertainty=StdDevUncertainty(np.full(SHAPE, 11 / 300))) for image in counts()
    ]
    numbers = {name: value for name, value in NOISE.items() if name != missing}
    message = f"^{missing} must be given, such as .*, although exposure 1 has an uncertainty; got None: .* thresholds"
    with pytest.raises(InputError, match=message):
        load_exposures(ccds, exptime=5 * u.min, **numbers)
    with pytest.raises(InputError, match=f"^{missing} must be given.*; got None$"):
        load_exposures([CCDData(one.data, unit=one.unit) for one in ccds], exptime=5 * u.min, **numbers)
