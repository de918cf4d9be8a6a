"""Values that are left out without a decision on them make no hole or bump where the exposures differ."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import Code, CRStack, MaskRules
from crstack.combine.left_out import shift_with_left_out
from crstack.exposures import load_exposures

pytestmark = pytest.mark.usefixtures("quick_joint")

SHAPE, SKY, READNOISE = (200, 220), (80.0, 120.0, 200.0), 4.0
MASKED, LOW = slice(100, 102), 150


@pytest.fixture(scope="module")
def scene():
    """Three exposures of one field under different skies; columns of the third are masked and dead; a trail."""
    rng = np.random.default_rng(2)
    y, x = np.indices(SHAPE)
    stars = zip(rng.uniform(10, 210, 40), rng.uniform(10, 190, 40), rng.uniform(100, 3000, 40), strict=True)
    light = sum(peak * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 2 / 1.2**2) for a, b, peak in stars)
    expected = np.array([light + sky for sky in SKY])
    cube = rng.poisson(expected) + rng.normal(0, READNOISE, expected.shape)
    cube[0] += rng.poisson(np.where(np.abs(y - 20 - 0.7 * x) < 4, 250, 0))
    mask = np.zeros(cube.shape, dtype=bool)
    mask[2, :, MASKED] = True
    cube[2, :, MASKED] = cube[2, :, LOW] = 0
    ccds = [CCDData(plane, unit=u.electron, mask=bad) for plane, bad in zip(cube, mask, strict=True)]
    return ccds, expected


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_no_hole_where_values_are_bad_low_or_in_a_trail(scene, method):
    ccds, expected = scene
    stack = CRStack(ccds, readnoise=READNOISE * u.electron)
    rules = MaskRules(force_pixels=[(x, 50) for x in range(1, 90)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "straight trails|.*are in MEDIANCR")
        masks = stack.detect(method, aux="pycosmic" if method == "mmcosmic" else None, rules=rules)
    places = {"masked": np.s_[:, MASKED], "low": np.s_[:, LOW], "trail": masks.codes["CRMASK1"] == Code.TRAIL}
    if method == "joint":
        # M.M.Cosmic keeps hits of all exposures, as forced pixels are, at the level of the lowest
        places["forced"] = np.s_[49, :89]
    assert places["trail"].sum() > 1000
    for name in ("meancr2", "meanjoint") if method == "joint" else ("meancr2",):
        error = stack.combine(name).data - expected.mean(axis=0)
        for place, where in places.items():
            assert abs(np.median(error[where])) < 2.5, (name, place)
    cleaned = stack.clean()[2].data - expected[2]
    for place in ("masked", "low"):
        assert abs(np.median(cleaned[places[place]])) < 3, place


def test_a_hit_beside_a_bad_value_does_not_change_the_level():
    """The median of a hit and a clean value was taken for the scene, whose throughputs give the level."""
    rng = np.random.default_rng(4)
    y, x = np.indices(SHAPE)
    stars = zip(rng.uniform(10, 210, 40), rng.uniform(10, 190, 40), rng.uniform(100, 3000, 40), strict=True)
    light = sum(peak * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 2 / 1.4**2) for a, b, peak in stars)
    expected = np.array([factor * (light + 60) for factor in (1.1, 0.8, 1.0)])
    cube = rng.poisson(expected) + rng.normal(0, READNOISE, expected.shape)
    bad = np.zeros(cube.shape, bool)
    bad[1, :, MASKED] = True
    hit = np.s_[20:180:10, MASKED]
    cube[0][hit] += 6000
    ccds = [CCDData(plane, unit=u.electron, mask=mask) for plane, mask in zip(cube, bad, strict=True)]
    stack = CRStack(ccds, readnoise=READNOISE * u.electron)
    measured = stack.detect("joint").decision.measured
    np.testing.assert_allclose(measured.factors, np.array([1.1, 0.8, 1.0]) / 0.9667, rtol=0.03)
    assert stack.detect("joint")["CRMASK1"][hit].all()
    for name in ("meanjoint", "meancr2", "meancr"):
        combined = stack.combine(name)
        pull = (combined.data - expected.mean(axis=0)) / np.sqrt(combined.uncertainty.array)
        assert np.abs(pull[hit]).max() < 5, name


def test_bad_columns_do_not_change_what_is_measured(scene):
    """The fill of bad values looked like a throughput and a shift."""
    ccds, _ = scene
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "straight trails")
        measured = CRStack(ccds, readnoise=READNOISE * u.electron).detect("joint").decision.measured
    np.testing.assert_allclose(measured.factors, 1, atol=0.02)
    assert not measured.lines
    np.testing.assert_allclose(np.diff(measured.levels), np.diff(SKY), atol=2)


def test_the_shift_of_what_is_left():
    cube = np.full((3, 8, 9), 100, np.float32) + np.random.default_rng(1).normal(0, 10, (3, 8, 9)).astype(np.float32)
    bad = np.zeros(cube.shape, dtype=bool)
    bad[2, 1, 1] = bad[:, 2, 2] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exposures = load_exposures(
            [CCDData(plane, unit=u.adu, mask=one) for plane, one in zip(cube, bad, strict=True)],
            gain=2 * u.electron / u.adu,
            readnoise=4 * u.electron,
        )
    codes = {f"CRMASK{i}": np.zeros((8, 9), np.uint8) for i in (1, 2, 3)}
    codes["CRMASK1"][3, 3] = Code.TRAIL
    codes["CRMASK1"][4, 4] = Code.MMCOSMIC
    shift = np.zeros((8, 9), np.float32)
    shift[1, 1], shift[3, 3], shift[4, 4] = 1.0, 5.0, 7.0
    found = shift_with_left_out(shift, codes, exposures, (-30.0, 0.0, np.full((8, 9), 30.0)))
    # without the third the mean level is 15 ADU lower, without the first 15 ADU higher
    expected = np.zeros((8, 9))
    expected[1, 1], expected[3, 3], expected[4, 4] = 1 + 2 * 15, -2 * 15, 7
    np.testing.assert_allclose(found, expected, atol=1e-4)
