"""Parts of one exposure without light: found, left out with one warning, and without effect on the other exposures."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty
from support.limited import resident_bytes

from crstack import Code, CRStack
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning
from crstack.exposures import Exposures, load_exposures
from crstack.exposures.comparison.shadows import find_shadows
from crstack.noise import NoiseModel
from crstack.utils.memory import Workspace, limited_memory, trim

SHAPE = (200, 250)
READNOISE = 4.0
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
QUADRANT = (ROWS < 100) & (COLUMNS < 125)
#: share of the light at each pixel of the exposure that is dark
DEAD = np.where(QUADRANT, 0.0, 1.0)
PROBE = 1 - 0.95 / (1 + np.exp((np.hypot(ROWS - 190, COLUMNS - 90) - 60) / 4))
DOME = 1 / (1 + np.exp(-(ROWS - 50) / 6))


def field(rng, sky):
    """Electrons of a sky and stars."""
    scene = np.full(SHAPE, sky)
    for y, x, light in zip(
        rng.uniform(0, 200, 40), rng.uniform(0, 250, 40), 300 * 10 ** rng.uniform(0, 2, 40), strict=True
    ):
        scene += light * np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / 4)
    return scene


def drawn(n, shares, sky=80.0, seed=1, added=0.0):
    """Exposures in electrons, the share of light by exposure (from 0), their hits, and the scene."""
    rng = np.random.default_rng(seed)
    scene = field(rng, sky)
    hits = np.stack([make_hits(SHAPE, 0.01, rng) for _ in range(n)])
    cube = np.stack([rng.poisson(scene * shares.get(i, 1.0)) for i in range(n)]) + hits
    cube = cube + rng.normal(0, READNOISE, cube.shape)
    cube[1] += added
    return np.rint(cube).astype(np.float32), hits, scene


def ccds(cube):
    return [CCDData(image, unit="electron") for image in cube]


def load(cube):
    return load_exposures(ccds(cube), readnoise=READNOISE * u.electron)


def unchecked(cube):
    """The exposures as read, without the checks."""
    noise = NoiseModel(readnoise=READNOISE * u.electron, unit=u.electron)
    return Exposures(cube, None, noise, (None,) * len(cube), names=tuple(f"exposure {i + 1}" for i in range(len(cube))))


@pytest.mark.parametrize("sky", [20.0, 80.0, 1000.0])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_dead_quadrant_is_bad(n, sky):
    cube, _, _ = drawn(n, {1: DEAD}, sky)
    with pytest.warns(CRStackWarning) as caught:
        exposures = load(cube)
    message = str(caught[0].message)
    assert len(caught) == 1
    assert "exposure 2 has 0.00 of the light of the other" in message
    assert "within columns 1 to 1" in message
    assert "and rows 1 to 1" in message
    assert ("hits of the other exposure are not found there" in message) == (n == 2)
    assert exposures.low[1][QUADRANT].all()
    np.testing.assert_array_equal(exposures.bad[1] & QUADRANT, QUADRANT)
    # a margin of up to two blocks of 16 pixels
    assert not exposures.low[1][(ROWS >= 140) | (COLUMNS >= 165)].any()
    assert not np.delete(exposures.low, 1, axis=0).any()
    assert (exposures.data[exposures.low] == 0).all()


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("shadow", [PROBE, DOME, np.where(COLUMNS < 125, 0.0, 1.0), np.where(QUADRANT, 0.5, 1.0)])
def test_a_shadow_is_bad(n, shadow):
    cube, _, _ = drawn(n, {1: shadow}, 300.0)
    with pytest.warns(CRStackWarning, match="part of an exposure is dark, with a sharp edge: exposure 2 has 0"):
        exposures = load(cube)
    assert exposures.low[1][shadow < 0.9].all()
    assert not exposures.low[0].any()
    assert exposures.low[1].mean() < np.mean(shadow < 0.9) + 0.3


def test_share_of_the_light():
    (shadow,) = find_shadows(unchecked(drawn(3, {0: np.where(QUADRANT, 0.5, 1.0)}, 300.0)[0]))
    assert shadow.exposure == 0
    assert shadow.share == pytest.approx(0.5, abs=0.02)


@pytest.mark.usefixtures("quick_joint")
@pytest.mark.parametrize("n", [3, 5])
def test_the_others_represent_the_quadrant(n):
    cube, hits, scene = drawn(n, {1: DEAD})
    with pytest.warns(CRStackWarning, match="part of an exposure is dark"):
        stack = CRStack(ccds(cube), readnoise=READNOISE * u.electron)
    # warnings are errors: there is no other
    masks = stack.detect()
    np.testing.assert_array_equal(masks.codes["CRMASK2"][QUADRANT], Code.LOW)
    clean = (hits == 0).all(axis=0) & QUADRANT
    assert (masks.codes["CRMASK1"] > 0)[clean].mean() < 0.001
    combined = stack.combine("meancr2", full_output=True)
    pull = ((combined.ccd.data - scene) / np.sqrt(combined.ccd.uncertainty.array))[clean]
    assert abs(pull.mean()) < 0.05
    assert pull.std() == pytest.approx(1, abs=0.05)
    assert np.median(combined.count[QUADRANT]) == n - 1


def test_two_of_three_exposures_are_dark():
    cube, _, _ = drawn(3, {0: DEAD, 2: DEAD})
    with pytest.warns(CRStackWarning, match="exposure 1 has 0.00 .*; exposure 3 has 0.00 "):
        exposures = load(cube)
    assert [one[QUADRANT].all() for one in exposures.low] == [True, False, True]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_smooth_changes_give_no_warning(n):
    vignetting = 1 - 0.5 * ((ROWS - 100) ** 2 + (COLUMNS - 125) ** 2) / (100**2 + 125**2)
    slope = 0.6 + 0.8 * COLUMNS / SHAPE[1]
    cloud = 0.75 + 0.25 * np.sin(COLUMNS / 40 + ROWS / 60)
    for share in (vignetting, slope, cloud, 0.3):
        for sky in (80.0, 1000.0):
            cube, _, _ = drawn(n, {1: share}, sky)
            assert not find_shadows(unchecked(cube))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_more_light_is_no_shadow_of_the_others(n):
    cube, _, _ = drawn(n, {1: np.where(QUADRANT, 2.0, 1.0)}, 300.0)
    assert not find_shadows(unchecked(cube))


@pytest.mark.parametrize("part", [0.4, 0.5, 0.65])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_stray_light_on_half_of_an_exposure_leaves_no_shadow(n, part):
    """Of two parts of similar size, the one with the light of the other exposures is not dark."""
    cube, *_ = drawn(n, {}, sky=200.0)
    stray = np.where(part * SHAPE[1] > COLUMNS, 150.0, 0.0)
    cube[1] += np.random.default_rng(3).poisson(stray)
    assert not find_shadows(unchecked(cube))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_step_of_the_bias_is_no_shadow(n):
    cube, _, _ = drawn(n, {}, 80.0, added=np.where(QUADRANT, -60.0, 0.0))
    assert not find_shadows(unchecked(cube))


@pytest.mark.parametrize("n", [2, 3])
def test_without_light_nothing_is_found(n):
    cube, _, _ = drawn(n, {1: DEAD}, 0.5)
    assert not find_shadows(unchecked(cube))
    assert not find_shadows(unchecked(cube[:, :90, :90]))


def test_arrays_in_files_give_the_same_result():
    cube, _, _ = drawn(3, {1: DEAD})
    with pytest.warns(CRStackWarning):
        expected = load(cube)
    trim()  # what other tests have freed is not held
    workspace = Workspace(resident_bytes() + 5_000_000)
    with limited_memory(workspace), pytest.warns(CRStackWarning, match="part of an exposure is dark"):
        found = load(cube)
    assert workspace.in_files
    np.testing.assert_array_equal(found.low, expected.low)
    np.testing.assert_array_equal(found.data, expected.data)


@pytest.mark.parametrize("dark", [False, True])
def test_exposures_with_uncertainties(dark):
    cube, _, _ = drawn(3, {1: DEAD} if dark else {})
    images = ccds(cube)
    for image in images:
        image.uncertainty = VarianceUncertainty(np.maximum(image.data, 0) + READNOISE**2)
    exposures = load_exposures(images, readnoise=READNOISE * u.electron) if not dark else None
    if dark:
        with pytest.warns(CRStackWarning, match="part of an exposure is dark"):
            exposures = load_exposures(images, readnoise=READNOISE * u.electron)
        assert exposures.low[1][QUADRANT].all()
    else:
        assert exposures.low is None


def test_bad_values_are_no_shadow():
    cube, _, _ = drawn(3, {})
    images = ccds(cube)
    images[1].mask = QUADRANT
    exposures = load_exposures(images, readnoise=READNOISE * u.electron)
    assert not find_shadows(exposures)
