"""One exposure that scatters more than stated."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty
from scipy import ndimage

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures

READNOISE, SHAPE = 4.0, (200, 220)
NOISE = {"readnoise": READNOISE * u.electron}


def exposures(n, sky, extra, odd=-1, seed=1, uncertain=False):
    """Stars on a sky, with hits; one exposure has noise that is not stated."""
    rng = np.random.default_rng(seed)
    scene = np.full(SHAPE, float(sky))
    scene[rng.integers(0, SHAPE[0], 60), rng.integers(0, SHAPE[1], 60)] += rng.uniform(1e3, 2e4, 60)
    scene = ndimage.gaussian_filter(scene, 1.5)
    cube = rng.poisson(scene, (n, *SHAPE)) + rng.normal(0, READNOISE, (n, *SHAPE))
    for plane in cube:
        plane[rng.integers(0, SHAPE[0], 80), rng.integers(0, SHAPE[1], 80)] += 800
    cube[odd] += rng.normal(0, extra, SHAPE)
    ccds = [CCDData(plane, unit="electron") for plane in cube]
    for ccd in ccds if uncertain else ():
        ccd.uncertainty = VarianceUncertainty(scene + READNOISE**2)
    return ccds


def loaded(ccds):
    """The exposures and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = load_exposures(ccds, **NOISE)
    assert all(issubclass(one.category, CRStackWarning) for one in caught)
    return found, [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("n", "sky", "extra", "odd"), [(3, 200, 15, 2), (5, 10, 6, 0), (4, 2000, 45, 1), (3, 200, 60, 1), (5, 200, 150, 4)]
)
def test_the_exposure_is_named_and_its_noise_is_raised(n, sky, extra, odd):
    found, (words,) = loaded(exposures(n, sky, extra, odd))
    assert words.startswith(f"exposure {odd + 1} scatters by")
    assert "the other exposures do not" in words
    assert found.missing[odd] == pytest.approx(extra**2, rel=0.15)
    assert not any(one for i, one in enumerate(found.missing) if i != odd)


@pytest.mark.parametrize("extra", [0, 5])
def test_little_more_noise_has_no_warning(extra):
    """Variance of 1.12 times as stated, of one exposure."""
    found, words = loaded(exposures(3, 200, extra))
    assert words == []
    assert found.missing == ()


def test_uncertainties_stay_as_given():
    found, (words,) = loaded(exposures(3, 200, 20, uncertain=True))
    assert words.endswith("check its uncertainty")
    np.testing.assert_allclose(found.noise_of(2).variance(np.float32(0)).min(), found.noise_of(0).variance(0).min())


def test_clean_values_of_a_noisy_exposure_are_not_flagged():
    """Without the missing variance, 83 are."""
    ccds = exposures(4, 200, 17)
    with pytest.warns(CRStackWarning, match="exposure 4 scatters by"):
        masks = CRStack(ccds, **NOISE).detect()
    hit = [ccd.data > 700 for ccd in ccds]
    quiet = [ccd.data < 300 for ccd in ccds]
    assert np.count_nonzero(masks.crmasks[3] & quiet[3]) < 5
    assert masks.crmasks[3][hit[3] & (np.median([ccd.data for ccd in ccds], axis=0) < 260)].all()


@pytest.mark.parametrize("scene", ["imaging", "slit", "ifu"])
def test_structures_that_differ_are_no_noise(scene):
    change = {
        "flux_factors": (1, 1, 0.5, 1),
        "seeing": (2.5, 2.5, 4, 2.5),
        "offsets": ((0, 0), (0, 0), (1.4, 0.6), (0, 0)),
    }
    ccds = make_stack(
        scene, (200, 240), 4, unit="electron", readnoise=READNOISE * u.electron, seed=3, **change
    ).exposures
    found, words = loaded(ccds)
    assert found.missing == ()
    assert not any("scatters by" in one for one in words)
