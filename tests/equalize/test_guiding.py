"""A failure of the guiding: an exposure that is shifted or trailed by three pixels is reported with the number."""

import re
import warnings
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.equalize.terms.guiding import trailed
from crstack.exceptions import ImplausibleResultWarning
from crstack.plausibility.shifts import WIDENED, _sentences_of_trailed_stars, _wide

#: what is tested comes before or after the decision
pytestmark = pytest.mark.usefixtures("quick_joint")

SHAPE = (230, 240)


def stars(n, kind, angle=0.0):
    """49 stars in n exposures in electrons; the last one is shifted or trailed by 3 pixels."""
    rng = np.random.default_rng(4)
    y, x = ((index.ravel() + 0.5) / 7 for index in np.mgrid[:7, :7])
    x, y = x * SHAPE[1] + rng.uniform(-2, 2, 49), y * SHAPE[0] + rng.uniform(-2, 2, 49)
    flux = 10 ** rng.uniform(3, 5.5, 49)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]

    def light(step):
        dx, dy = step * np.cos(np.radians(angle)), step * np.sin(np.radians(angle))
        each = (
            one / (2 * np.pi * 1.4) * np.exp(-((columns - a - dx) ** 2 + (rows - b - dy) ** 2) / 2.8)
            for a, b, one in zip(x, y, flux, strict=True)
        )
        return 100.0 + sum(each)

    steps = {"equal": [0.0], "shift": [3.0], "trail": np.linspace(0, 3, 7)}[kind]
    expected = [light(0.0)] * (n - 1) + [np.mean([light(step) for step in steps], axis=0)]
    return [CCDData(rng.poisson(one) + rng.normal(0, 4, SHAPE), unit="electron") for one in expected]


def sentences(exposures, method, **options):
    stack = CRStack(exposures, readnoise=4 * u.electron, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack.detect(method, aux=None)
    return " ".join(str(one.message) for one in caught if one.category is ImplausibleResultWarning)


@pytest.mark.parametrize(("n", "method"), [(2, "joint"), (3, "joint"), (3, "mmcosmic"), (5, "joint")])
def test_a_shift_of_three_pixels_is_reported(n, method):
    assert f"not aligned: exposure {n} by (+3.0, " in sentences(stars(n, "shift"), method)


def test_it_is_reported_where_nothing_is_measured():
    found = sentences(stars(3, "shift"), "mmcosmic", differences=None)
    assert "not aligned: exposure 3 by (+3.0, +0.0) pixels, from the others. Unless the offsets" in found


@pytest.mark.parametrize(("n", "angle"), [(2, 0), (3, 45), (5, 60)])
def test_a_trail_of_three_pixels_is_reported(n, angle):
    found = sentences(stars(n, "trail", angle), "joint")
    number, length, degrees = re.search(
        r"stars are trailed against those of most exposures: exposure (\d) by (\d\.\d) pixels at (\d+) degrees", found
    ).groups()
    assert int(number) == n
    assert 2.7 <= float(length) <= 3.6
    assert abs(int(degrees) - angle) <= 6 or int(degrees) - angle >= 174


def test_equal_exposures_give_no_warning():
    assert sentences(stars(3, "equal"), "joint") == ""


def test_another_seeing_of_emission_lines_on_a_trace_is_no_trail():
    """The slit gives the width of the lines along the dispersion, and the seeing that along the slit."""
    rng = np.random.default_rng(288)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lines = sum(
        peak * np.exp(-((columns - at) ** 2) / 2.9) for peak, at in ((1.0, 40), (0.4, 95), (2.0, 150), (0.2, 215))
    )
    exposures = []
    for width in (1.6, 2.0, 1.7):
        light = 600 / width * np.exp(-((rows - 110 - 0.03 * columns) ** 2) / 2 / width**2) * (1 + 50 * lines)
        exposures.append(CCDData(rng.poisson(20 + light) + rng.normal(0, 4, SHAPE), unit="electron"))
    assert "trailed" not in sentences(exposures, "joint")


def measured(widths, errors=(0.01, 0.01, 0.005), shifts=None):
    nothing = ((0.0, 0.0),) * len(widths)
    return SimpleNamespace(
        widths=widths,
        shifts=shifts or nothing,
        steps=nothing,
        common=np.zeros((50, 50)),
        kernel_errors=np.tile([0.001, 0.01, 0.01, *errors], (len(widths), 1)),
    )


def test_lengths_and_angles_follow_from_the_moments():
    length2 = 3.0**2 / 12
    along_x, along_y = (length2, 0.0, 0.0), (0.1, 0.1 + length2, 0.0)
    slanted = (length2 / 2, length2 / 2, -length2 / 2)
    found = trailed(measured([(0.0, 0.0, 0.0), along_x, along_y, slanted, (0.5, 0.5, 0.0)]))
    assert [one[0] for one in found] == [1, 2, 3]
    np.testing.assert_allclose([one[1] for one in found], 3.0)
    np.testing.assert_allclose([one[2] for one in found], [0, 90, 135])
    # a little, or with a large error
    assert trailed(measured([(0.0, 0.0, 0.0), (0.3, 0.0, 0.0)])) == []
    assert trailed(measured([(0.0, 0.0, 0.0), along_x], (0.2, 0.2, 0.1))) == []
    # traces and lines, which do not measure the product
    assert trailed(measured([(0.0, 0.0, 0.0), along_x], (0.01, 0.01, 0.05))) == []


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_trailed_exposure_is_named_where_it_has_the_best_seeing(number):
    """The round exposures have a worse seeing, so that they are wider in sum."""
    widths = [(1.0, 1.0, 0.0), (1.1, 1.1, 0.0), (1.05, 1.05, 0.0)]
    widths[number] = (3.0**2 / 12, 0.0, 0.0)
    ((i, length, angle),) = trailed(measured(widths))
    assert i == number
    assert length == pytest.approx(3.0, abs=0.1)
    assert angle == 0


def test_of_two_exposures_with_another_seeing_either_may_be_trailed():
    """A trail along x, and stars that are wider in the other exposure, which could be trailed along y."""
    length2 = 3.0**2 / 12
    widths = [(length2, 0.0, 0.0), (1.0, 1.0, 0.0)]
    assert trailed(measured(widths)) == [(0, pytest.approx(3.0), 0.0), (1, pytest.approx(3.0), 90.0)]
    assert trailed(measured(widths[::-1])) == [(0, pytest.approx(3.0), 90.0), (1, pytest.approx(3.0), 0.0)]
    (sentence,) = _sentences_of_trailed_stars(measured(widths), ("a", "b"), {})
    assert "a by 3.0 pixels at 0 degrees from the x axis, or b by 3.0 pixels at 90 degrees" in sentence
    # in one seeing there is no doubt
    assert trailed(measured([(length2, 0.0, 0.0), (0.0, 0.0, 0.0)])) == [(0, pytest.approx(3.0), 0.0)]


def test_the_sharpest_exposure_is_not_trailed_where_the_others_are_a_little_elongated():
    """By the share of their seeing that is allowed."""
    assert trailed(measured([(0.0, 0.0, 0.0), (1.75, 1.38, 0.0), (1.8, 1.42, 0.0)])) == []


def test_a_shift_may_add_its_square():
    trail = [(0.0, 0.0, 0.0), (2.3**2 / 12, 0.0, 0.0)]
    assert trailed(measured(trail))
    assert trailed(measured(trail, shifts=((0.0, 0.0), (0.4, 0.1)))) == []
    assert trailed(measured([(0.0, 0.0, 0.0), (3.0**2 / 12, 0.0, 0.0)], shifts=((0.0, 0.0), (0.4, 0.1))))


def test_round_stars_of_another_seeing_are_not_trailed():
    assert trailed(measured([(0.0, 0.0, 0.0), (1.75, 1.38, 0.0)])) == []
    assert trailed(measured([(0.0, 0.0, 0.0), (1.75, 0.75, 0.0)]))


@pytest.mark.parametrize("options", [{"offsets": None}, {"differences": None}])
def test_dithers_that_are_not_measured_are_no_failure_of_the_guiding(options):
    simulated = make_stack("imaging", (200, 220), 3, seed=2, hit_rate=0.01, offsets=[(0, 0), (2.3, 0.4), (-1.8, 2.1)])
    exposures = [ccd.data.astype("f4") for ccd in simulated.exposures]
    found = sentences([CCDData(one, unit="electron") for one in exposures], "joint", **options)
    assert "trailed" not in found
    assert "not aligned" in found


@pytest.mark.parametrize(("error", "found"), [(0.05, {1: 5.0}), (1.0, {})])
def test_widths_of_exposures_without_stars_have_no_meaning(error, found):
    assert _wide(measured([(0, 0, 0), (5, 5, 0), (1, 1, 0)], (error, error, error)), WIDENED) == found
