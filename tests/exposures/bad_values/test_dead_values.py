"""Dead pixels of all exposures, and masks that cover most of an exposure."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures

SHAPE = (120, 150)
NOISE = {"gain": 1.7 * u.electron / u.adu, "readnoise": 6 * u.electron}


def sky(n=3, level=118.0, seed=1, whole=False):
    rng = np.random.default_rng(seed)
    images = (rng.poisson(level * 1.7, (n, *SHAPE)) + rng.normal(0, 6, (n, *SHAPE))) / 1.7
    return list(np.rint(images) if whole else images)


def load(images, **options):
    return load_exposures([CCDData(image, unit="adu") for image in images], **NOISE, **options)


@pytest.mark.parametrize("n", [2, 3, 12])
@pytest.mark.parametrize("whole", [False, True])
def test_dead_pixels_of_all_exposures_are_bad(n, whole):
    images = sky(n, whole=whole)
    truth = np.zeros(SHAPE, dtype=bool)
    truth[:, 0] = truth[:, 100:103] = truth[119, 20:60] = truth[40:44, 50:53] = True
    for image in images:
        image[truth] = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exposures = load(images)
    words = [str(one.message) for one in caught]
    assert len(words) == 2
    # the first column looks like a border, and lines of its value belong to it
    assert "every exposure holds one value in blocks of 480 pixels" in words[0]
    assert "52 pixels, within columns 21 to 60 and rows 41 to 120, hold the value 0 in every exposure" in words[1]
    np.testing.assert_array_equal(exposures.bad, np.broadcast_to(truth, exposures.bad.shape))
    assert (exposures.data[:, truth] == 0).all()


def test_the_combined_image_has_no_value_at_a_dead_column():
    images = sky()
    for image in images:
        image[:, 100] = 0
    words = "^120 pixels, within column 101 and rows 1 to 120, hold the value 0 in every .* They are taken as bad"
    with pytest.warns(CRStackWarning, match=words):
        stack = CRStack([CCDData(image, unit="adu") for image in images], **NOISE)
    ccd = stack.combine("mean")
    assert ccd.mask[:, 100].all()
    assert ccd.mask.sum() == 120


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("value", [-9999, -500])
def test_single_pixels_with_a_value_that_marks_them_are_bad(value, n, whole):
    images = [image + 300 for image in sky(n, whole=whole)]
    truth = np.zeros(SHAPE, dtype=bool)
    truth[::13, 4::17] = truth[30:32, 40:42] = True
    for image in images:
        image[truth] = value
    with pytest.warns(CRStackWarning, match=f"^{truth.sum()} pixels, .* in every exposure") as caught:
        exposures = load(images, bias=300 * u.adu)
    assert len(caught) == 1
    np.testing.assert_array_equal(exposures.bad, np.broadcast_to(truth, exposures.bad.shape))


@pytest.mark.parametrize("value", [65535, 32767])
def test_hot_pixels_at_the_limit_of_the_converter_are_bad(value):
    images = [image + 300 for image in sky(whole=True)]
    for image in images:
        image[::13, 4::17] = value
        image[60, 60] = value + 1
    images[1][70, 70] = value
    with pytest.warns(CRStackWarning, match=f"^90 pixels, .* hold {value} adu in every exposure, the highest value of"):
        exposures = load(images, bias=300 * u.adu)
    assert exposures.bad[:, ::13, 4::17].all()
    assert exposures.bad.sum() == 3 * 90


def test_single_pixels_of_one_value_without_steps_are_bad():
    images = sky()
    for image in images:
        image[::13, 4::17] = 0
    with pytest.warns(CRStackWarning, match="^90 pixels, .* hold the value 0 in every exposure"):
        exposures = load(images)
    assert exposures.bad[:, ::13, 4::17].all()
    assert exposures.bad.sum() == 3 * 90


def test_negative_values_of_noise_and_of_a_subtracted_sky_are_good():
    rng = np.random.default_rng(3)
    images = [image - 900 for image in sky(level=900.0)]
    deep = rng.normal(0, 400, SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load(images).bad is None
        # features that are negative in all exposures, as of a sky that was measured on a source
        exposures = load([image - np.maximum(deep, 0) for image in images])
    assert exposures.bad is None


@pytest.mark.parametrize("bias", [300 * u.adu, [300 * u.adu, 310 * u.adu, 290 * u.adu]])
def test_the_values_as_they_were_read_are_compared(bias):
    images = [image + 300 for image in sky()]
    for image in images:
        image[:, 30] = 17
    with pytest.warns(CRStackWarning, match="hold the value 17 in every exposure"):
        exposures = load(images, bias=bias)
    assert exposures.bad[:, :, 30].all()


def test_rates_are_compared_with_the_noise_of_their_counts():
    images = [image / 100 for image in sky()]
    for image in images:
        image[:, 30] = 0
    with pytest.warns(CRStackWarning, match="hold the value 0 in every exposure"):
        exposures = load_exposures(images, unit="adu / s", exptime=100 * u.s, **NOISE)
    assert exposures.bad[:, :, 30].all()


def found_in(images, unit="adu", **options):
    """The number of values that are bad in all exposures, where no pixel must be called dead."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exposures = load_exposures([CCDData(image, unit=unit) for image in images], **(NOISE | options))
    assert not [one for one in caught if "hold the value" in str(one.message)]
    return 0 if exposures.bad is None else np.count_nonzero(exposures.bad.all(axis=0))


@pytest.mark.parametrize("level", [0.5, 3.0, 10.0])
@pytest.mark.parametrize("n", [2, 3])
def test_low_skies_and_values_that_are_cut_at_0_are_not_dead(level, n):
    images = [np.maximum(image, 0) for image in sky(n, level, whole=True)]
    assert found_in(images) == 0


def test_a_subtracted_sky_is_not_dead():
    images = [image - 118 for image in sky()]
    for image in images:
        image[:, 30] = 0
    assert found_in(images) == 0


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("readnoise", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("whole", [True, False])
def test_dark_gaps_of_whole_numbers_are_not_dead(n, readnoise, whole):
    """Gaps between orders and an unexposed border: only noise, in steps, so that values are often equal."""
    rng = np.random.default_rng(5)
    light = np.zeros((300, 300))
    light[:, 40:] = 400 * (np.arange(260) % 12 > 2)
    images = [np.rint(rng.poisson(light) + rng.normal(0, readnoise, light.shape)) for _ in range(n)]
    factor = 1 if whole else 1.7  # values in electrons of a converter
    assert (
        found_in([factor * image for image in images], "electron", gain=None, readnoise=factor * readnoise * u.electron)
        == 0
    )


def test_a_border_of_zeros_is_a_block_of_one_value():
    images = sky()
    for image in images:
        image[:30] = image[:, 120:] = 0
    assert found_in(images) == 30 * 150 + 90 * 30


@pytest.mark.parametrize("scene", ["ifu", "imaging", "slit", "echelle"])
def test_simulated_scenes_have_no_dead_pixels(scene):
    simulated = make_stack(scene, shape=(120, 130), seed=4, hit_rate=0.03)
    for digits in (0, 6):
        ccds = [CCDData(np.round(ccd.data, digits), unit=ccd.unit) for ccd in simulated.exposures]
        with warnings.catch_warnings():
            warnings.simplefilter("error", CRStackWarning)
            load_exposures(ccds, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)


# masks


def masked(n_masked, rows=slice(50, 54)):
    good = np.zeros(SHAPE, dtype=bool)
    good[rows] = True
    images = sky()
    return [CCDData(image, unit="adu", mask=~good if i < n_masked else None) for i, image in enumerate(images)]


@pytest.mark.parametrize(("n_masked", "words"), [(1, ";"), (3, ", and more than three quarters of those of 2 more;")])
def test_a_mask_that_covers_most_of_an_exposure_gives_a_warning(n_masked, words):
    text = f"^97 % of the values of exposure 1 are masked{words} a mask is True where a value is bad: is it inverted"
    with pytest.warns(CRStackWarning, match=text) as caught:
        load_exposures(masked(n_masked), **NOISE)
    assert len([one for one in caught if "inverted" in str(one.message)]) == 1


def test_the_mask_of_a_file_too(tmp_path):
    paths = []
    for i, ccd in enumerate(masked(3)):
        paths.append(tmp_path / f"n{i}.fits")
        primary = fits.PrimaryHDU(ccd.data, fits.Header({"BUNIT": "adu"}))
        quality = fits.ImageHDU(ccd.mask.astype(np.uint8), name="DQ")
        fits.HDUList([primary, quality]).writeto(paths[-1])
    with pytest.warns(CRStackWarning, match="97 % of the values of n0.fits are masked"):
        load_exposures(paths, dq_ext="DQ", **NOISE)


def test_the_inverse_of_an_empty_mask():
    with pytest.raises(InputError, match=r"got none in exposure 1, where all are masked .* is it inverted"):
        load_exposures(masked(1, rows=slice(0)), **NOISE)


def test_a_mask_of_a_lost_half_is_no_mistake():
    with warnings.catch_warnings():
        warnings.simplefilter("error", CRStackWarning)
        load_exposures(masked(3, rows=slice(0, 40)), **NOISE)


@pytest.mark.parametrize("area", [np.s_[30:60, 40:90], np.s_[:, 50:80], np.s_[70:100, :]])
@pytest.mark.parametrize("n", [2, 3])
def test_wide_dead_areas_are_bad(area, n):
    images = sky(n)
    truth = np.zeros(SHAPE, dtype=bool)
    truth[area] = True
    for image in images:
        image[truth] = 0
    with pytest.warns(CRStackWarning, match=f"every exposure holds one value in blocks of {truth.sum()} pixels"):
        exposures = load(images)
    np.testing.assert_array_equal(exposures.bad, np.broadcast_to(truth, exposures.bad.shape))


def test_a_wide_and_a_narrow_dead_area():
    images = sky()
    truth = np.zeros(SHAPE, dtype=bool)
    truth[20:50, 30:60] = truth[80:90, 100:102] = True
    for image in images:
        image[truth] = 0
    with pytest.warns(CRStackWarning) as caught:
        exposures = load(images)
    words = sorted(str(one.message) for one in caught)
    assert len(words) == 2
    assert words[0].startswith("20 pixels, within columns 101 to 102 and rows 81 to 90, hold the value 0 in every exp")
    assert words[1].startswith("every exposure holds one value in blocks of 900 pixels, within columns 31 to 60 and")
    np.testing.assert_array_equal(exposures.bad[0], truth)


@pytest.mark.parametrize("value", [0, 100])
@pytest.mark.parametrize("area", [np.s_[:40], np.s_[:, 110:], np.s_[:50, :60], np.s_[30:60, 40:90]])
def test_a_border_or_corner_of_one_value_is_bad(area, value):
    """It has no noise, whatever its level."""
    images = sky()
    truth = np.zeros(SHAPE, dtype=bool)
    truth[area] = True
    for image in images:
        image[truth] = value
    with pytest.warns(CRStackWarning, match=f"every exposure holds one value in blocks of {truth.sum()} pixels"):
        exposures = load(images)
    np.testing.assert_array_equal(exposures.bad, np.broadcast_to(truth, exposures.bad.shape))


@pytest.mark.parametrize("value", [0, -9999])
def test_a_mask_of_one_exposure_does_not_hide_a_bad_pixel_of_the_others(value):
    images = sky(whole=True)
    for image in images:
        image[30:60, 70] = value
    masks = [np.zeros(SHAPE, dtype=bool), *(None,) * 2]
    masks[0][28:45, 69:72] = True
    exposures = [CCDData(image, unit="adu", mask=mask) for image, mask in zip(images, masks, strict=True)]
    with pytest.warns(CRStackWarning, match="30 pixels, within column 71 and rows 31 to 60"):
        found = load_exposures(exposures, **NOISE)
    assert found.bad[:, 30:60, 70].all()
