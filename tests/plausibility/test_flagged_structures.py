"""The warning that stars, lines or traces are flagged far more often than the rest."""

import warnings
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack, JointPosterior
from crstack.datasets.hits import make_hits
from crstack.masks.codes import Code
from crstack.plausibility.flagged_structures import _compared, _Groups, flagged_on_structures

SHAPE, READNOISE = (180, 300), 4.0
WORDS = "pixels of stars, lines or traces are flagged far more often than others"


def traces(light):
    """Five traces along x, which cover a tenth of the image, over a sky of 100 electrons."""
    rows = np.arange(SHAPE[0])
    profile = sum(np.exp(-0.5 * ((rows - at) / 2.0) ** 2) for at in (20, 52, 90, 121, 160))
    return 100 + light * np.repeat(profile[:, None], SHAPE[1], axis=1)


def stack_of(expected, seed=4, rate=0.006):
    rng = np.random.default_rng(seed)
    images = [rng.poisson(one) + rng.normal(0, READNOISE, SHAPE) + make_hits(SHAPE, rate, rng) for one in expected]
    return CRStack([CCDData(image, unit="electron") for image in images], readnoise=READNOISE * u.electron)


@pytest.mark.parametrize("n", [2, 3])
def test_traces_that_are_flagged_are_reported(n):
    stack = stack_of([traces(1500), traces(1500), traces(1600)][-n:])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        masks = stack.detect(method=JointPosterior(measure=False, excess=False))
    (text,) = (str(one.message) for one in caught if WORDS in str(one.message))
    assert f"% of those of exposure {n} (" in text
    assert "exposure 1" not in text
    (one,) = flagged_on_structures(masks, stack.exposures)
    bright = traces(1500) > 100 + 20 * np.sqrt(100 + READNOISE**2)
    share = masks.crmasks[n - 1][bright].mean()
    assert one.exposure == n - 1
    # of the level of brightness at which these are most frequent
    assert 0.7 * share < one.flagged < 1.5 * share
    assert one.times > 10


@pytest.mark.parametrize(("n", "rate"), [(2, 0.03), (3, 0.002), (3, 0.03), (5, 0.002)])
def test_hits_on_equal_exposures_are_not_reported(n, rate):
    stack = stack_of([traces(1500)] * n, seed=n, rate=rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = stack.detect()
    assert flagged_on_structures(masks, stack.exposures) == []


def slices(light, seed=5):
    """Slices of 24 rows with lines of the sky, the trace of an object in each, and dark gaps of six rows."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((360, 400))
    lines = sum(300 * np.exp(-0.5 * ((x - at) / 1.3) ** 2) for at in rng.uniform(0, 400, 25))
    trace = np.exp(-0.5 * ((y % 30 - 14 - (x - 200) / 100) / 1.5) ** 2)
    return np.where(y % 30 < 24, 90 + lines + light * trace, 3.0)


@pytest.mark.parametrize(("light", "flagged"), [(100, True), (70, False)])
def test_traces_in_slices_with_lines_of_the_sky_are_reported(light, flagged):
    """Gaps and lines are brighter or darker than the level of a block, more than the traces are."""
    rng = np.random.default_rng(7)
    images = [
        rng.poisson(one) + rng.normal(0, READNOISE, one.shape) + make_hits(one.shape, 0.006, rng)
        for one in (slices(70), slices(light))
    ]
    stack = CRStack([CCDData(image, unit="electron") for image in images], readnoise=READNOISE * u.electron)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        masks = stack.detect(method=JointPosterior(measure=False, excess=False))
    found = flagged_on_structures(masks, stack.exposures)
    assert [one.exposure for one in found] == ([1] if flagged else [])
    assert any(WORDS in str(one.message) for one in caught) == flagged


def test_differences_that_are_measured_are_not_reported():
    stack = stack_of([traces(1500), traces(1500), traces(1900)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.detect()


def test_images_smaller_than_a_block():
    rng = np.random.default_rng(2)
    images = [CCDData(rng.poisson(100, (20, 25)).astype(float), unit="electron") for _ in range(3)]
    stack = CRStack(images, readnoise=READNOISE * u.electron)
    assert flagged_on_structures(stack.detect(), stack.exposures) == []


def field_of_stars(seed):
    """Three equal exposures of 40 stars, a mask of hits for each, and the places (y, x) of the stars."""
    rng = np.random.default_rng(seed)
    y, x = rng.integers(5, SHAPE[0] - 5, 40), rng.integers(5, SHAPE[1] - 5, 40)
    rows, columns = np.indices(SHAPE)
    scene = 100 + sum(2e3 * np.exp(-((rows - b) ** 2 + (columns - a) ** 2) / 5) for b, a in zip(y, x, strict=True))
    hits = [make_hits(SHAPE, 0.006, rng) for _ in range(3)]
    images = [CCDData(rng.poisson(scene) + rng.normal(0, READNOISE, SHAPE) + one, unit="electron") for one in hits]
    stack = CRStack(images, readnoise=READNOISE * u.electron)
    return stack.exposures, [one > 20 for one in hits], (y, x)


def found_in(flagged, exposures):
    codes = {f"CRMASK{i + 1}": np.where(one, Code.MMCOSMIC, 0).astype(np.uint8) for i, one in enumerate(flagged)}
    return [one.exposure for one in flagged_on_structures(SimpleNamespace(codes=codes), exposures)]


@pytest.mark.parametrize("seed", range(4))
def test_a_quarter_of_the_stars_is_reported(seed):
    """Twelve cores of two pixels, among about a hundred hits that cover 300 pixels."""
    exposures, flagged, (y, x) = field_of_stars(seed)
    assert found_in(flagged, exposures) == []
    for step in (0, 1):
        flagged[1][y[:12], x[:12] + step] = True
    assert found_in(flagged, exposures) == [1]


@pytest.mark.parametrize("seed", range(4))
def test_a_long_track_over_stars_is_not_reported(seed):
    exposures, flagged, (y, _) = field_of_stars(seed)
    flagged[0][y[0] - 2 : y[0] + 3, :200] = True
    assert found_in(flagged, exposures) == []


def test_one_group_is_not_reported():
    """A single hit on a star, and a method that flags an exposure completely."""
    exposures, flagged, (y, x) = field_of_stars(0)
    star = np.zeros(SHAPE, bool)
    star[y[0], x[0]] = True
    for first in (star, np.ones(SHAPE, bool)):
        assert found_in([first, *flagged[1:]], exposures) == []


@pytest.mark.parametrize("seed", range(4))
def test_few_hits_among_many_structures_are_not_reported(seed):
    """Traces cover a quarter of the image or more; that 21 of 32 hits are there has a chance of 1e-5 or more."""
    stack = stack_of([traces(1500)] * 3, seed=seed)
    bright = traces(1500) > 100 + 7 * np.sqrt(100 + READNOISE**2)
    assert 0.2 < bright.mean() < 0.35
    rng, flagged = np.random.default_rng(seed), np.zeros((3, *SHAPE), bool)
    apart = np.zeros(SHAPE, bool)
    apart[::4, ::4] = True
    for where, number in ((bright & apart, 21), (~bright & apart, 11)):
        flagged[1].flat[rng.choice(np.flatnonzero(where), number, replace=False)] = True
    assert found_in(flagged, stack.exposures) == []


@pytest.mark.parametrize(("number", "far_more"), [(24, False), (29, False), (45, True)])
def test_few_pixels_on_structures_do_not_show_their_share_precisely(number, far_more):
    """Of 5000 hits, 10 are expected on the structures of a sample of 40; with two standard errors, 13."""
    groups = _Groups(np.arange(5000), np.full(5000, 3), 5000)
    sample = np.arange(20_000) < 40
    found = _compared(1, groups, np.arange(5000) < number, sample, (1000, 1000))
    assert (found is not None) == far_more
    if far_more:
        # 45 groups of three pixels on 0.2 per cent of a million pixels
        assert (found.exposure, found.flagged) == (1, pytest.approx(135 / 2000))
        assert found.times == pytest.approx(45 / ((5000 - 45) * 0.002 / 0.998))
