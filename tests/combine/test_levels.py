"""Combinations with masks of exposures whose sky differs: values and variances are those of one level."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage
from support.stacks import stack_of

from crstack import MaskSet
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning

ELECTRON = u.electron
#: of stacks whose differences are switched off on purpose
pytestmark = pytest.mark.filterwarnings("ignore:the exposures differ in level")

SKIES = {"uneven": (100, 110, 300), "five": (100, 180, 260, 120, 90)}
NAMES = ("mediancr", "meancrt", "meancr", "meancr2")


@pytest.fixture(scope="module", params=SKIES)
def made(request):
    """Exposures of three or five skies, their stack with masks, the mean level, and pixels of sky."""
    skies = SKIES[request.param]
    simulated = make_stack(
        "imaging",
        (240, 260),
        n_exposures=len(skies),
        hit_rate=0.01,
        seed=5,
        backgrounds=[sky * ELECTRON for sky in skies],
    )
    stack = stack_of(simulated)
    level = simulated.expected.mean(axis=0)
    return simulated, stack, level, level < np.median(level) + 5


def _check(made, masks, combination, least_of_hits=100):
    """Compare the sky with its level and its variance, where nothing is hit and where one exposure is."""
    simulated, _, level, sky = made
    pull = (combination.data - level) / np.sqrt(combination.uncertainty.array)
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), np.ones((3, 3)))
    clean = sky & ~near & ~masks.crmasks.any(axis=0)
    assert pull[clean].mean() == pytest.approx(0, abs=0.05)
    assert pull[clean].std() == pytest.approx(1, abs=0.04)
    strong = simulated.hit_mask(8)
    one = sky & (strong.sum(axis=0) == 1) & (masks.crmasks.sum(axis=0) == 1) & ~masks["MEDIANCR"] & ~masks["MEANCR"]
    one &= (masks.crmasks & strong).any(axis=0)
    assert one.sum() > least_of_hits
    assert np.median(pull[one]) == pytest.approx(0, abs=0.25)
    assert 1.4826 * np.median(np.abs(pull[one])) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("name", ["meancr", "meanjoint"])
def test_the_sample_variance_of_the_joint_decision_is_that_of_values_on_one_level(made, name):
    """The sky that differs was a part of it, tens of times the variance of the noise."""
    _, stack, _, sky = made
    masks = stack.detect("joint")
    clean = sky & ~masks.crmasks.any(axis=0)
    sample = stack.combine(name, masks=masks, variance="sample").uncertainty.array
    model = stack.combine("meancr", masks=masks).uncertainty.array
    assert sample[clean].mean() == pytest.approx(len(stack) * model[clean].mean(), rel=0.05)


@pytest.mark.parametrize("name", [*NAMES, "meanjoint"])
def test_the_joint_decision_combines_one_level(made, name):
    stack = made[1]
    _check(made, stack.detect("joint"), stack.combine(name, masks=stack.detect("joint")))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")
def test_mmcosmic_combines_one_level(made, name):
    stack = made[1]
    masks = stack.detect("mmcosmic", aux=None)
    # a median with its hit would be that of the higher clean values
    _check(made, masks, stack.combine(name, masks=masks, unbiased=True), least_of_hits=50)


def test_means_of_the_joint_decision_are_not_changed_by_medians(made):
    stack = made[1]
    masks = stack.detect("joint")
    before = stack.combine("meanjoint", masks=masks)
    stack.combine("mediancr", masks=masks)
    np.testing.assert_array_equal(stack.combine("meanjoint", masks=masks).data, before.data)
    clean = ~masks["MEANCRT"]
    mean = stack.combine("mean", masks=masks).data
    np.testing.assert_allclose(stack.combine("meancrt", masks=masks).data[clean], mean[clean], rtol=1e-5)


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")
def test_masks_of_a_file_combine_one_level(made, method, tmp_path):
    stack = made[1]
    masks = stack.detect(method, aux=None)
    masks.write(tmp_path / "masks.fits")
    read = MaskSet.read(tmp_path / "masks.fits")
    names = ("mediancr", "meancrt") if method == "joint" else NAMES
    for name in names:
        _check(made, masks, stack.combine(name, masks=read, unbiased=True), least_of_hits=50)


def test_given_levels_are_levels_too(made):
    simulated = made[0]
    n = len(simulated.exposures)
    backgrounds = [float(np.median(one)) for one in simulated.expected]
    stack = stack_of(simulated, backgrounds=backgrounds, differences=None)
    masks = stack.detect("joint")
    _check((simulated, stack, *made[2:]), masks, stack.combine("mediancr", masks=masks))
    assert n == len(stack)


def test_an_exposure_that_is_masked_altogether_has_no_level(made):
    simulated, stack, *_ = made
    masks = stack.detect("joint")
    codes = {name: plane.copy() for name, plane in masks.codes.items()}
    codes["CRMASK1"][:] = codes["MEANCRT"][:] = 1
    plain = stack_of(simulated, differences=None)
    left = (plain.combine("meancr", masks=MaskSet(codes)), stack.combine("meancr", masks=MaskSet(codes)))
    np.testing.assert_array_equal(*(one.data for one in left))


def test_a_plain_median_of_different_levels_says_so(made):
    simulated = made[0]
    for name in ("median", "min"):
        stack = stack_of(simulated)
        with pytest.warns(CRStackWarning, match="levels of the exposures differ by .* combine meancr2") as found:
            ccd = stack.combine(name)
        assert len(found) == 1
        assert "levels of the exposures differ" in " ".join(ccd.meta["HISTORY"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stack.combine("median")  # said once
            stack.combine("mean")
    plain = stack_of(simulated, differences=None)
    assert "levels of the exposures differ" in " ".join(plain.combine("median").meta["HISTORY"])
    assert "levels" not in " ".join(plain.combine("mean").meta["HISTORY"])
    ccd = made[1].combine("mediancr", masks=made[1].detect("joint"))
    assert "mean level" in " ".join(ccd.meta["HISTORY"])


def test_equal_levels_say_nothing():
    simulated = make_stack("imaging", (120, 140), hit_rate=0.01, seed=5)
    ccd = stack_of(simulated).combine("median")
    assert "level" not in " ".join(ccd.meta["HISTORY"])


def test_the_reference_stays():
    simulated = make_stack(
        "imaging", (120, 140), hit_rate=0.02, seed=6, backgrounds=[sky * ELECTRON for sky in SKIES["uneven"]]
    )
    stack = stack_of(simulated, differences=None)
    masks = stack.detect(aux="lacosmic", boundary=None)
    data = stack.exposures.data
    median, low = np.median(data, axis=0), np.sort(data, axis=0)[0]
    np.testing.assert_array_equal(stack.combine("mediancr", masks=masks).data, np.where(masks["MEDIANCR"], low, median))
