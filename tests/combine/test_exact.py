"""Small pure functions of the combinations, by hand."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData

from crstack import MaskSet
from crstack.combine import Combiner, PixelFlag
from crstack.combine.clean_values import CleanValues, ratio, variance_for_median
from crstack.combine.fill import fill_from_neighbours
from crstack.combine.posterior_mean import posterior_mean, uncertain
from crstack.combine.smooth_signal import NOISE_WEIGHT, WINDOWS, smoothed_signal
from crstack.exposures import load_exposures
from crstack.statistics import order_statistics


def one_hole(shape, hole):
    where = np.zeros(shape, bool)
    where[hole] = True
    return where


@pytest.mark.parametrize("hole", [(5, 6), (0, 0), (0, 6), (11, 13), (5, 0)])
def test_unusable_pixels_lend_no_value(hole):
    image = np.full((12, 14), 100.0)
    where = one_hole(image.shape, hole)
    image[hole] = 5e4
    unusable = np.zeros(image.shape, bool)
    near = np.abs(np.arange(12)[:, None] - hole[0]) + np.abs(np.arange(14) - hole[1]) == 1
    unusable[near] = True
    image[unusable] = np.nan
    value, error = fill_from_neighbours(image, np.ones_like(image), where, unusable)
    assert value[0] == pytest.approx(100, abs=1e-6)
    assert 0 < error[0] < 3


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("last", [False, True])
def test_the_outermost_rows_and_columns_lend_their_values(axis, last):
    """Only one row (or column), at an edge, has values; the hole is beside it."""
    image = np.full((5, 30), 1e5)
    image[0], known = 7.0, np.zeros((5, 30), bool)
    known[0] = True
    where = one_hole((5, 30), (1, 15))
    unusable = ~known & ~where
    if last:
        image, where, unusable = image[::-1], where[::-1], unusable[::-1]
    if axis:
        image, where, unusable = image.T, where.T, unusable.T
    value, error = fill_from_neighbours(image, np.full(image.shape, 4.0), where, unusable)
    assert value[0] == pytest.approx(7.0, abs=1e-6)
    assert error[0] > 0


def test_the_error_of_a_filled_pixel_grows_with_the_noise_around():
    rng = np.random.default_rng(1)
    image = rng.normal(50, 3, (60, 60))
    where = one_hole(image.shape, (30, 30))
    _, small = fill_from_neighbours(image, np.full(image.shape, 9.0), where, where & False)
    _, large = fill_from_neighbours(10 * image, np.full(image.shape, 900.0), where, where & False)
    assert large[0] == pytest.approx(100 * small[0])
    # a fit to the neighbours is no better than one of them, and no worse than two
    assert 1 < small[0] < 18


def test_nothing_to_fill_from():
    image = np.ones((4, 4))
    where = one_hole((4, 4), (1, 1))
    assert np.isnan(fill_from_neighbours(image, image, where, ~where)).all()


# counts

NAMES = ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "CRMASK4", "MEANCR")
#: of four exposures: clean, one or two hit, one bad, one bad and one hit, all hit, one bad and the others hit, all bad
PLACES = ((0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (0, 7))
HIT = ((), (2,), (1, 2), (), (3,), (0, 1, 2, 3), (1, 2, 3), ())
BAD = ((), (), (), (0,), (0,), (), (0,), (0, 1, 2, 3))
COUNTS = {
    "mean": (4, 4, 4, 3, 3, 4, 3, 0),
    "median": (4, 4, 4, 3, 3, 4, 3, 0),
    "min": (2, 2, 2, 1, 1, 2, 1, 0),
    "meancr": (4, 3, 2, 3, 2, 0, 0, 0),
    "meanjoint": (4, 3, 2, 3, 2, 0, 0, 0),
    # no pixel is in MEDIANCR: medians of all valid values; of the joint decision, of the clean ones
    "mediancr": (4, 4, 4, 3, 3, 0, 0, 0),
    "joint mediancr": (4, 3, 2, 3, 2, 0, 0, 0),
}


def counted(name):
    joint = name in ("meanjoint", "joint mediancr")
    rng = np.random.default_rng(4)
    ccds = [CCDData(rng.normal(100, 5, (12, 14)), unit=u.electron, mask=np.zeros((12, 14), bool)) for _ in range(4)]
    codes = {one: np.zeros((12, 14), np.uint8) for one in NAMES}
    chance = np.zeros((4, 12, 14), np.float16)
    for place, hit, bad in zip(PLACES, HIT, BAD, strict=True):
        for i in hit:
            ccds[i].data[place] += 4000
            codes[f"CRMASK{i + 1}"][place] = 2
            chance[i][place] = 1
        for i in bad:
            ccds[i].mask[place] = True
    exposures = load_exposures(ccds, readnoise=5 * u.electron)
    masks = MaskSet(codes, probability=chance if joint else None)
    return Combiner(exposures, order_statistics(exposures.data, 2, exposures.bad), masks).combine(name.split()[-1])


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_values(name):
    made = counted(name)
    expected = np.array(COUNTS[name])
    np.testing.assert_array_equal(made.count[0, :8], expected)
    assert (made.count[1:] == COUNTS[name][0]).all()
    np.testing.assert_array_equal(made.ccd.mask[0, :8], expected == 0)
    with_masks = name not in ("mean", "median", "min")
    all_hit = (made.flags[0, :8] & PixelFlag.ALL_HIT) > 0
    np.testing.assert_array_equal(np.flatnonzero(all_hit), [5, 6] if with_masks else [])
    np.testing.assert_array_equal(np.flatnonzero(made.flags[0, :8] & PixelFlag.NO_DATA), [7])


def test_the_variance_of_a_median_of_clean_values():
    """Of four, three and two: that of the median of as many normal values."""
    variance = counted("joint mediancr").ccd.uncertainty.array[0, :3]
    np.testing.assert_allclose(variance, 125 * np.array([0.298246, 0.448671, 0.5]), rtol=0.05)


@pytest.mark.parametrize(
    ("chance", "count"),
    [
        ((0, 0, 0), 3),
        ((0.004, 0, 0.996), 2),  # nearly 0 and nearly 1
        ((0.5, 0.5, 0.5), 2),  # the expected number is 1.5, rounded to even
        ((0.9, 0.9, 0.9), 1),  # the expected number is 0.3, but there is a mean
        ((0.2, 0.2, 1), 2),
        ((1, 1, 1), 0),
    ],
)
def test_counts_of_the_posterior_mean(chance, count):
    value, _, found = posterior_mean(np.array([[9.0], [11.0], [13.0]]), np.array(chance)[:, None], np.ones((3, 1)))
    assert found.tolist() == [count]
    assert found.dtype == np.int16
    assert np.isnan(value[0]) == (count == 0)


def test_what_is_uncertain():
    np.testing.assert_array_equal(uncertain(np.array([0, 0.0049, 0.005, 0.5, 0.995, 0.9951, 1])), [0, 0, 1, 1, 1, 0, 0])


def test_the_count_of_a_minimum_is_that_of_its_lowest_values():
    """Five exposures, one hit, masked in the median: the mean of the three lowest of the four clean values."""
    rng = np.random.default_rng(6)
    ccds = [CCDData(rng.normal(100, 5, (12, 14)), unit=u.electron) for _ in range(5)]
    ccds[3].data[2, 2] += 4000
    codes = {one: np.zeros((12, 14), np.uint8) for one in (*NAMES, "CRMASK5")}
    codes["MEDIANCR"][2, 2] = codes["CRMASK4"][2, 2] = 2
    chance = np.array([codes[f"CRMASK{i}"] > 0 for i in range(1, 6)], np.float16)
    exposures = load_exposures(ccds, readnoise=5 * u.electron)
    made = Combiner(exposures, order_statistics(exposures.data, 2), MaskSet(codes, probability=chance))
    assert made.combine("mediancr").count[2, 2] == 3
    assert made.combine("mediancr").flags[2, 2] == PixelFlag.MINIMUM
    # its variance is that of the mean of the lowest of four normal values
    lowest = np.sort(rng.normal(size=(4, 400_000)), axis=0)[:3].mean(axis=0).var()
    assert made.combine("mediancr").ccd.uncertainty.array[2, 2] == pytest.approx(lowest * 125, rel=0.05)


# the expected signal


def smoothed_pixel(image, variance, known, row, column):
    """The filter of Lee (1980) at one pixel, in the window that gives its own value the smallest weight."""
    least, signal = np.inf, image[row, column]
    for height, width in WINDOWS:
        half = height // 2, width // 2
        rows = np.clip(np.arange(row - half[0], row + half[0] + 1), 0, image.shape[0] - 1)
        columns = np.clip(np.arange(column - half[1], column + half[1] + 1), 0, image.shape[1] - 1)
        used = known[np.ix_(rows, columns)]
        if not used.any():
            continue
        values, noise = (one[np.ix_(rows, columns)][used] for one in (image, variance))
        structure = max(values.var() * max(used.sum(), 2) / (max(used.sum(), 2) - 1) - noise.mean(), 0)
        own = structure / (structure + NOISE_WEIGHT * variance[row, column]) if known[row, column] else 0.0
        if own < least:
            least, signal = own, values.mean() + own * (image[row, column] - values.mean())
    return signal


def test_the_expected_signal_is_that_of_the_filter():
    rng = np.random.default_rng(8)
    row, column = np.mgrid[:24, :22]
    # flat, a trace along the rows, and a star
    scene = 100 + 300 * np.exp(-((row - 6) ** 2) / 3) + 900 * np.exp(-((row - 16) ** 2 + (column - 12) ** 2) / 4)
    variance = scene + 25
    image = (scene + rng.normal(0, 1, scene.shape) * np.sqrt(variance)).astype(np.float32)
    known = rng.uniform(size=scene.shape) > 0.2
    known[:, :7] = column[:, :7] == 6  # few values of a window are clean, and none in the first columns
    image[~known] = 1e4
    found = smoothed_signal(lambda rows: (image[rows], variance[rows], known[rows]), image.shape)
    expected = [[smoothed_pixel(image.astype(float), variance, known, y, x) for x in range(22)] for y in range(24)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (found[:, :2] == 1e4).all()
    assert found.dtype == np.float32


class TestOfUnequalValues:
    def test_more_than_ten_uncertain_values(self):
        """The most certain ones are rounded."""
        values = np.arange(12.0)[:, None]
        chance = np.full((12, 1), 0.5)
        chance[[3, 7]] = [[0.1], [0.9]]
        rounded = chance.copy()
        rounded[[3, 7]] = [[0.0], [1.0]]
        variance = np.ones((12, 1))
        found, expected = (posterior_mean(values, one, variance)[:2] for one in (chance, rounded))
        np.testing.assert_allclose(found, expected)

    def test_ratio(self):
        np.testing.assert_allclose(ratio(np.array([6.0, 5.0]), np.array([2.0, 0.0])), [3, 1])

    def test_bad_values_do_not_count_in_the_variance_of_a_median(self):
        class Unequal:
            levels = (0, 0, 0)
            data = np.zeros((3, 1, 2), np.float32)
            bad = np.array([[[False, False]], [[False, False]], [[False, True]]])

            def __len__(self):
                return 3

            def variance_of(self, i, expected):
                return np.float32((4, 9, 100)[i]) + 0 * expected

        values = CleanValues(Unequal(), None, expected=np.zeros((1, 2), np.float32))
        used = np.array([[True, True], [True, True], [True, False]])
        variances = np.array([[4.0, 4.0], [9.0, 9.0], [100.0, 100.0]])
        found = values.variance_in_middle[0]
        np.testing.assert_allclose(found, variance_for_median(variances, used), rtol=1e-6)
        assert found[1] == pytest.approx(6.5)
