"""The noise and the bias of exposures as they are read."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, NDData, StdDevUncertainty, VarianceUncertainty
from support.exposures import READNOISE, SHAPE, SKY, load, made

from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures
from crstack.exposures.scatter.noise_sample import NoiseSample


def test_noise_that_is_missing():
    """The sky is subtracted, but the noise of its photons remains."""
    with pytest.warns(
        CRStackWarning, match=r"scatter by 1\d.* electron, where .* give 4.*: noise is missing. Was a sky"
    ):
        load([image - SKY for image in made()])


def test_a_bias_that_is_still_there():
    with pytest.warns(
        CRStackWarning, match=r"give 3\d electron at a level of 1\d\d0 electron .*: part of the level is"
    ):
        load([image + 1000 for image in made()])
    # with a given bias the cause is another one
    with pytest.warns(CRStackWarning, match=r"there is less noise than stated"):
        load([image + 1000 for image in made()], bias=1 * u.electron)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("sky", [0.0, 5.0, 140.0, 5000.0])
def test_the_ratio_of_scatter_and_noise_is_one(n, sky):
    rng = np.random.default_rng(3)
    data = rng.poisson(sky, (n, 200, 210)) + rng.normal(0, READNOISE, (n, 200, 210))
    data[:, rng.integers(0, 200, 400), rng.integers(0, 210, 400)] += 1000
    sample = NoiseSample.of(data, None, lambda i, expected, box: np.full(expected.shape, sky + 16.0))
    ratios = sample.known_ratios()
    assert len(ratios) == (1 if n == 2 else n)
    np.testing.assert_allclose(ratios, 1, atol=0.03)
    assert sample.level == pytest.approx(sky, rel=0.2, abs=6)
    assert sample.sigma == pytest.approx(np.sqrt(sky + 16), rel=1e-3)


@pytest.mark.parametrize("population", ["cosmic", "worms"])
@pytest.mark.parametrize("understated", [1.0, 1.5])
def test_many_hits_are_no_missing_noise(population, understated):
    """Where 12 % of the values are hit, 40 % of the differences of four values are; a wrong noise is still found."""
    simulated = make_stack(
        "imaging", shape=(200, 210), n_exposures=3, gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron,
        hit_rate=0.12, population=population, seed=14,
    )  # fmt: skip
    data = np.array([one.data for one in simulated.exposures], np.float32)

    def variance(i, expected, box):
        return (np.maximum(expected, 0) + READNOISE**2) / understated**2

    ratios = NoiseSample.of(data, None, variance).known_ratios()
    np.testing.assert_allclose(ratios, understated, rtol=0.12)


def test_the_ratio_of_few_whole_numbers_is_not_below_one():
    data = np.rint(np.random.default_rng(2).normal(100, 0.289, (3, 100, 110))).astype(np.float32)
    ratios = NoiseSample.of(data, None, lambda i, expected, box: np.full(expected.shape, 0.2**2)).known_ratios()
    assert min(ratios) >= 1


def test_the_ratio_counts_neither_levels_nor_gradients():
    rng = np.random.default_rng(3)
    data = rng.normal(0, 2, (3, 200, 210)) + np.arange(3)[:, None, None] * np.linspace(0, 50, 210)
    bad = np.zeros(data.shape, dtype=bool)
    bad[1, :100] = True
    data[bad] = 1e6
    ratios = NoiseSample.of(data, bad, lambda i, expected, box: np.full(expected.shape, 4.0)).known_ratios()
    np.testing.assert_allclose(ratios, 1, atol=0.03)


def test_exposure_times_that_differ():
    ccds = [
        CCDData(image, unit=u.electron, meta={"EXPTIME": time})
        for image, time in zip(made(), (300.0, 300.0, 600.0), strict=True)
    ]
    # the stack warns, because it knows what becomes of them
    assert load_exposures(ccds, readnoise=READNOISE * u.electron).exptimes == (300, 300, 600)


def test_a_bias_that_is_too_high():
    """The bias was subtracted before, or is that of another detector."""
    with pytest.warns(
        CRStackWarning, match=r"lie at -3\d\d electron once the bias is subtracted, .* the bias is too high"
    ):
        load(made(stars=False), bias=500 * u.electron)


def test_a_bias_that_is_right_within_the_read_noise_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(made(sky=0.0, stars=False), bias=5 * u.electron)


@pytest.mark.parametrize("value", [np.full(SHAPE, 5.0), NDData(np.full(SHAPE, 5.0))])
def test_an_image_of_the_bias_without_a_unit(value):
    """The message is one line: it does not hold the pixels."""
    with pytest.raises(InputError, match=r"^bias must be a Quantity, .*ccd\.data \* ccd\.unit.*; got a \w+$"):
        load(made(), bias=value)


def test_negative_uncertainties_are_no_uncertainties():
    """A negative standard deviation gives no variance."""
    ccds = [CCDData(image, unit=u.electron, uncertainty=StdDevUncertainty(np.sqrt(image))) for image in made()]
    ccds[1].uncertainty.array[10:12, 20] *= -1
    with pytest.warns(CRStackWarning, match="negative, 0 or far below the read noise make bad values: 2 in exposure 2"):
        exposures = load_exposures(ccds, readnoise=READNOISE * u.electron)
    assert np.argwhere(exposures.bad[1]).tolist() == [[10, 20], [11, 20]]
    ccds[1].uncertainty.array[:] = -1
    with pytest.raises(InputError, match="uncertainty of exposure 2 must be a positive number somewhere; got none"):
        load_exposures(ccds, readnoise=READNOISE * u.electron)


@pytest.mark.parametrize(
    "skies", [(200, 100, 400), (100, 300), (50, 100, 150, 200, 250), (100, 100, 100), range(50, 251, 20)]
)
def test_each_exposure_has_the_noise_of_its_own_sky(skies):
    rng = np.random.default_rng(1)
    data = np.array([rng.poisson(sky, (200, 200)) + rng.normal(0, 4, (200, 200)) for sky in skies], np.float32)
    ratios = NoiseSample.of(data, None, lambda i, expected, box: np.maximum(expected, 0) + 16).known_ratios()
    assert 0.97 < min(ratios) <= max(ratios) < 1.03


def test_the_noise_of_an_average_of_scaled_exposures():
    exposures = load(made(3))
    unit = exposures.noise.electrons_per_unit
    scaled = exposures.divided_by((2.0, 4.0, 1.0))
    average = scaled.noise_of_average(3)
    # photons of a mean of exposures that are multiplied by 0.5, 0.25 and 1
    assert average.electrons_per_unit == pytest.approx(3 * unit / np.mean([0.5, 0.25, 1.0]))


def test_mean_variance_of_exposures_with_their_own_uncertainties():
    images = [
        CCDData(
            np.random.default_rng(i).normal(50, 3, (20, 20)),
            unit="adu",
            uncertainty=VarianceUncertainty(np.full((20, 20), 10.0 * (i + 1))),
        )
        for i in range(3)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exposures = load_exposures(images, gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    np.testing.assert_allclose(exposures.mean_variance(None), 20, rtol=1e-6)


@pytest.mark.parametrize(("lost", "warned"), [("below", True), ("any", False), ("few", False), ("above", False)])
def test_values_below_0_without_uncertainty_have_a_warning(lost, warned):
    """Of ``create_deviation`` of ccdproc, but not of uncertainties that mark bad pixels."""
    rng = np.random.default_rng(11)
    ccds = []
    for _ in range(3):
        image = rng.normal(0.2 * READNOISE, READNOISE, SHAPE)
        where = {
            "below": image < 0,
            "any": rng.random(SHAPE) < 0.1,
            "few": image < -3.3 * READNOISE,
            "above": image > 0,
        }
        sigma = np.where(where[lost], np.nan, READNOISE)
        ccds.append(CCDData(image, unit=u.electron, uncertainty=StdDevUncertainty(sigma)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exposures = load_exposures(ccds, readnoise=READNOISE * u.electron)
    assert exposures.bad is not None or lost == "few"
    found = [str(one.message) for one in caught if "NaN as uncertainty" in str(one.message)]
    assert len(found) == warned
    if warned:
        assert found[0].startswith("42 % of the values are below 0")
        assert "disregard_nan=True" in found[0]
