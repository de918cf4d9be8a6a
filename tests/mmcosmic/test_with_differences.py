"""M.M.Cosmic where the exposures differ: it measures by default, and combines on the mean level."""

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage
from support.stacks import stack_of

from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning

LEVELS = tuple(level * u.electron for level in (100, 140, 220))
NAMES = ("mediancr", "meancrt", "meancr", "meancr2")


def of_skies(scene="imaging", **options):
    return make_stack(scene, (220, 240), hit_rate=0.01, seed=41, backgrounds=LEVELS, **options)


def false_values(simulated, masks):
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), np.ones((3, 3)))
    return 1e6 * (masks.crmasks & ~near).mean()


@pytest.mark.filterwarnings("ignore:the exposures differ in level")
@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")
@pytest.mark.parametrize("scene", ["imaging", "slit"])
def test_skies_that_differ_are_no_hits(scene):
    simulated = of_skies(scene)
    assert false_values(simulated, stack_of(simulated).detect("mmcosmic", aux=None)) < 300
    assert false_values(simulated, stack_of(simulated, differences=None).detect("mmcosmic", aux=None)) > 1000


@pytest.mark.parametrize("scene", ["ifu", "imaging", "slit"])
def test_equal_exposures_give_the_same_masks_and_images(scene):
    simulated = make_stack(scene, (150, 180), hit_rate=0.02, seed=12)
    plain, stack = stack_of(simulated, differences=None), stack_of(simulated)
    before, after = (one.detect("mmcosmic", aux="pycosmic") for one in (plain, stack))
    assert not after.decision.measured
    assert after.decision.to_combine(stack.prepared) is stack.exposures
    for name in before:
        np.testing.assert_array_equal(before.codes[name], after.codes[name])
    np.testing.assert_array_equal(plain.combine("meancr2").data, stack.combine("meancr2").data)


@pytest.mark.parametrize("options", [{}, {"backgrounds": [100, 140, 220]}])
def test_a_value_that_is_left_out_makes_no_hole_and_no_bump(options):
    simulated = of_skies()
    stack = stack_of(simulated, **options)
    masks = stack.detect("mmcosmic", aux=None)
    level = simulated.expected.mean(axis=0)
    strong = simulated.hit_mask(8)
    hit = (strong.sum(axis=0) == 1) & (masks.crmasks & strong).any(axis=0)
    for i in range(3):
        alone = hit & strong[i] & (masks.crmasks.sum(axis=0) == 1)
        assert alone.sum() > 100
        ccd = stack.combine("meancr2")
        pull = ((ccd.data - level) / np.sqrt(ccd.uncertainty.array))[alone]
        assert np.median(pull) == pytest.approx(0, abs=0.3), i
    # where nothing is left out the mean stays what it is, and so do combinations without masks
    clean = ~masks["MEANCRT"]
    np.testing.assert_allclose(stack.combine("meancr2").data[clean], stack.combine("mean").data[clean], rtol=1e-5)
    with pytest.warns(CRStackWarning, match="levels of the exposures differ"):
        median = stack.combine("median")
    np.testing.assert_array_equal(median.data, np.median(stack.exposures.data, axis=0))
    for name in NAMES:
        near = ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
        error = np.median((stack.combine(name).data - level)[masks["MEANCRT"] & near])
        assert abs(error) < (20 if name.startswith("median") else 6), name


@pytest.mark.filterwarnings("ignore:backgrounds as given do not fit")
def test_the_mean_stays_where_factors_are_not_1_on_average():
    factors = (0.7, 1.0, 1.0)
    simulated = make_stack("slit", (120, 140), flux_factors=factors, backgrounds=LEVELS, seed=4, hit_rate=0.01)
    stack = stack_of(simulated, flux_factors=factors, backgrounds=[100, 140, 220])
    masks = stack.detect("mmcosmic", aux=None)
    clean = ~masks["MEANCRT"]
    np.testing.assert_allclose(stack.combine("meancr2").data[clean], stack.combine("mean").data[clean], rtol=1e-4)


def test_given_factors_change_no_values():
    simulated = make_stack("slit", (120, 140), flux_factors=(0.8, 1.0, 1.2), seed=4)
    stack = stack_of(simulated, flux_factors=(0.8, 1.0, 1.2), differences=None)
    masks = stack.detect("mmcosmic", aux=None)
    assert masks.decision.to_combine(stack.prepared) is stack.exposures


def test_without_a_boundary_nothing_is_measured():
    stack = stack_of(of_skies())
    stack.detect(aux="lacosmic", boundary=None)
    assert "differences" not in stack.timings
    assert stack.latest_masks().decision.measured is None
