"""Values in steps: blocks of one value by chance, and the noise of rounding."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures
from crstack.exposures.blank import blank_part
from crstack.exposures.digits import digit_of, rounding_variance, side_of_blocks, with_lines

SHAPE = (150, 160)


def made(sky, readnoise, gain, n=3, seed=1):
    """Whole numbers of ADU; sky and read noise in electrons."""
    rng = np.random.default_rng(seed)
    return [
        np.rint((rng.poisson(sky, SHAPE) + rng.normal(0, readnoise, SHAPE)) / gain).astype(np.float32) for _ in range(n)
    ]


def load(images, readnoise, gain, **options):
    ccds = [CCDData(image, unit="adu") for image in images]
    return load_exposures(ccds, gain=gain * u.electron / u.adu, readnoise=readnoise * u.electron, **options)


def test_the_digit_of_images():
    assert digit_of(np.arange(12.0).reshape(3, 4)) == 1
    assert digit_of(1.7 * np.arange(12.0).reshape(3, 4)) == pytest.approx(1.7)
    assert digit_of(np.random.default_rng(1).normal(size=(30, 40))) < 0.1
    assert digit_of(np.full((3, 4), np.nan)) is None
    assert digit_of(np.ones((3, 4))) is None


def test_the_side_of_blocks_grows_where_the_noise_is_below_one_digit():
    sides = [side_of_blocks(1.0, sigma, 4_000_000) for sigma in (5.0, 0.5, 0.3, 0.25, 0.2)]
    assert sides[:2] == [7, 8]
    assert sides == sorted(sides)
    assert sides[-1] > 30
    assert side_of_blocks(1.0, 0.05, 4_000_000) is None
    assert side_of_blocks(1.0, 0.0, 4_000_000) is None
    assert side_of_blocks(None, 1.0, 4_000_000) == 7


@pytest.mark.parametrize("sigma", [0.45, 0.3, 0.22])
def test_noise_gives_no_block_of_this_side(sigma):
    rng = np.random.default_rng(3)
    side = side_of_blocks(1.0, sigma, 300 * 300)
    for _ in range(3):
        image = np.rint(rng.normal(0, sigma, (300, 300)))
        assert blank_part(image, side) is None
        image[40 : 41 + side, 50 : 51 + side] = 5
        assert blank_part(image, side)[40 : 41 + side, 50 : 51 + side].all()


def test_the_variance_of_rounding():
    assert rounding_variance(1.0, 0.2) == pytest.approx(1 / 12)
    assert rounding_variance(2.0, 0.2) == pytest.approx(1 / 3)
    assert rounding_variance(1.0, 0.3) == 0  # measured from whole numbers, it includes the rounding
    assert rounding_variance(None, 0.2) == 0


def test_equal_values_of_a_low_noise_are_not_bad_and_rounding_is_noise():
    """Gain 8, read noise 0.2 ADU, sky 1.5 electrons: 86 % of the values are 0."""
    images = made(1.5, 1.6, 8, n=4)
    images[0][20:24, 30:34] += 40
    words = (
        r"^the noise is below one step of the values: it is 0\.2 adu, .* is 1\. .* The noise of rounding, 0\.29 adu,"
    )
    with pytest.warns(CRStackWarning, match=words) as caught:
        exposures = load(images, 1.6, 8)
    assert len(caught) == 1
    assert exposures.bad is None
    np.testing.assert_allclose(exposures.missing, 64 / 12)
    with pytest.warns(CRStackWarning, match=words):
        stack = CRStack([CCDData(image, unit="adu") for image in images], gain=8 * u.electron / u.adu,
                        readnoise=1.6 * u.electron)  # fmt: skip
    masks = stack.detect().crmasks
    assert masks[0, 20:24, 30:34].all()
    assert np.count_nonzero(masks[1:]) <= 5


def test_a_noise_of_half_a_step_is_named_once():
    """Gain 8, read noise 0.5 ADU, sky 0.8 electrons: some values of 2 ADU are flagged, and this is the cause."""
    images = made(0.8, 4.0, 8, n=5)
    words = r"^the noise is below one step of the values: it is 0\.51? adu, "
    with pytest.warns(CRStackWarning, match=words) as caught:
        CRStack(images, unit="adu", gain=8 * u.electron / u.adu, readnoise=4 * u.electron).detect()
    assert len(caught) == 1


@pytest.mark.parametrize("readnoise", [3.2, 4.0])
def test_a_read_noise_of_whole_numbers_gets_no_more(readnoise):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exposures = load(made(30.0, readnoise, 8), readnoise, 8)
    assert exposures.missing == ()
    assert exposures.bad is None


@pytest.mark.filterwarnings("ignore:the noise is below one step of the values")
def test_a_lost_half_is_found_where_the_noise_is_below_one_digit():
    images = made(20.0, 1.8, 8, n=3)
    images[1][:100] = 0
    with pytest.warns(CRStackWarning, match="exposure 2 holds one value in blocks of 16000 pixels"):
        exposures = load(images, 1.8, 8)
    assert exposures.bad[1, :100].all()
    assert not exposures.bad[[0, 2]].any()


@pytest.mark.parametrize("value", [0 * u.electron, 0 * u.adu, np.where(np.eye(*SHAPE), 0, 4) * u.electron])
def test_a_read_noise_of_0_is_refused(value):
    images = made(0.5, 1.0, 1)
    with pytest.raises(
        InputError, match=r"^readnoise must be a number greater than 0; got 0 electron\. For a detector that"
    ):
        load_exposures(images, gain=1 * u.electron / u.adu, readnoise=value, unit="adu")


# borders of registered images


def test_lines_of_the_value_of_a_block():
    image = np.random.default_rng(4).normal(size=(70, 80))
    image[:7, :7] = image[20, 5:54] = image[60:62, 0:48] = 0
    image[10:60, 70] = 3
    expected = np.zeros(image.shape, bool)
    expected[:7, :7] = expected[20, 5:54] = True  # 48 pixels are too few, and 3 is no value of a block
    np.testing.assert_array_equal(with_lines(image, blank_part(image), 7), expected)


def registered(fill=0.0, whole=False, sky=130.0, n=3):
    """Exposures of 120 x 120 pixels, placed in a larger image; ADU with a gain of 1.5."""
    rng = np.random.default_rng(8)
    images = []
    for x, y in ((0, 0), (14, 8), (10, 20), (5, 12))[:n]:
        image = np.full((170, 180), fill, np.float32)
        part = (rng.poisson(sky, (120, 120)) + rng.normal(0, 4, (120, 120))) / 1.5
        image[y : y + 120, x : x + 120] = np.rint(part) if whole else part
        images.append(image)
    return images


NOISE = {"gain": 1.5 * u.electron / u.adu, "readnoise": 4 * u.electron}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_borders_of_one_value_have_no_data(whole, n):
    images = registered(whole=whole, n=n)
    empty = np.array([image == 0 for image in images])
    with pytest.warns(CRStackWarning, match="holds one value in blocks of") as caught:
        stack = CRStack(images, unit="adu", **NOISE)
    words = [str(one.message) for one in caught]
    number = np.count_nonzero(empty.all(axis=0))
    assert sum(f"every exposure holds one value in blocks of {number} pixels" in one for one in words) == 1
    # no false statement about the noise, which is right
    assert len(words) == n + 1
    np.testing.assert_array_equal(stack.exposures.bad, empty)
    for name in ("meancr2", "meanjoint"):
        found = stack.combine(name, full_output=True)
        np.testing.assert_array_equal(found.ccd.mask, empty.all(axis=0))
        assert (found.count[empty.all(axis=0)] == 0).all()
        assert np.isnan(found.ccd.data[empty.all(axis=0)]).all()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("width", [1, 4, 6])
def test_borders_that_are_narrower_than_a_block(whole, width):
    images = [image[20:120, 14:120] for image in registered(whole=whole)]
    images[0][:width] = images[1][:, -width:] = images[2][-width:, 5:] = 0
    empty = np.array([image == 0 for image in images])
    with pytest.warns(CRStackWarning, match="holds one value in blocks of") as caught:
        stack = CRStack(images, unit="adu", **NOISE)
    assert len(caught) == 3
    np.testing.assert_array_equal(stack.exposures.bad, empty)
    value = stack.combine("meanjoint")
    assert not value.mask.any()
    pulls = (value.data - 130 / 1.5) / np.sqrt(value.uncertainty.array)
    assert np.abs(pulls[empty.any(axis=0)]).max() < 5.5


def test_a_border_under_an_image_of_the_bias():
    images = registered()
    bias = np.random.default_rng(2).normal(3, 1, images[0].shape).astype(np.float32)
    empty = np.all([image == 0 for image in images], axis=0)
    images = [np.where(image == 0, 0, image + bias) for image in images]
    with pytest.warns(CRStackWarning, match=f"every exposure holds one value in blocks of {np.count_nonzero(empty)} p"):
        exposures = load_exposures(images, unit="adu", bias=bias * u.adu, **NOISE)
    assert exposures.bad[:, empty].all()


def test_nothing_but_blocks_of_one_value():
    images = [np.where(np.arange(SHAPE[1]) < 60 + 20 * i, 3.0, 9.0) * np.ones(SHAPE) for i in range(3)]
    images[1] = made(100.0, 4.0, 1.5)[0]
    with (
        pytest.warns(CRStackWarning, match="exposures seem to be saturated|holds one value in blocks"),
        pytest.raises(InputError, match="must have valid pixels; got none in exposure 1, where blocks of one value"),
    ):
        load_exposures(images, unit="adu", **NOISE)
