"""A stack with bad values in one exposure, against a stack without that exposure.

Four exposures, one of them bad in the left part of the image, must give there the result of the other three.
"""

import functools

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty

from crstack import CRStack, JointPosterior, MaskSet, PiecewiseBoundary
from crstack.combine import COMBINATIONS, PixelFlag
from crstack.datasets import make_stack
from crstack.masks import MaskRules

pytestmark = [
    pytest.mark.usefixtures("quick_joint"),
    # own variances are larger than the scatter
    pytest.mark.filterwarnings("ignore:the values that are not flagged scatter by"),
]

GAIN = 2.0 * u.electron / u.adu
SHAPE = (60, 100)
#: exposure 2 is bad left of this column; pixels near it are not compared, because signals are smoothed
EDGE, INSIDE = 60, np.s_[:, :48]
LOST = 1


def exposures(own_variances):
    """Four exposures, with their own variances if wanted, and the same without the bad one."""
    simulated = make_stack("ifu", SHAPE, n_exposures=4, gain=GAIN, readnoise=4 * u.electron, hit_rate=0.04, seed=21)
    ccds = [CCDData(ccd.data.astype(float), unit=u.adu) for ccd in simulated.exposures]
    if own_variances:
        for i, ccd in enumerate(ccds):
            variance = simulated.noise.variance(np.mean([one.data for one in ccds], axis=0)) * (1 + 0.3 * i)
            ccd.uncertainty = VarianceUncertainty(variance)
    left = [ccd for i, ccd in enumerate(ccds) if i != LOST]
    ccds[LOST] = ccds[LOST].copy()
    ccds[LOST].mask = np.zeros(SHAPE, bool)
    ccds[LOST].mask[:, :EDGE] = True
    # the bad value must have no effect
    ccds[LOST].data[:, :EDGE] = 6e4
    return ccds, left


@functools.cache
def stacks(own_variances=False):
    ccds, left = exposures(own_variances)
    options = {"gain": GAIN, "readnoise": 4 * u.electron}
    return CRStack(ccds, **options), CRStack(left, **options)


def without_one(masks):
    """The masks of the three other exposures."""
    numbers = [i for i in range(masks.n_exposures) if i != LOST]
    codes = {name: masks.codes[name] for name in ("MEDIANCR", "MEANCRT", "MEANCR")}
    codes |= {f"CRMASK{new}": masks.codes[f"CRMASK{old + 1}"] for new, old in enumerate(numbers, start=1)}
    chance = None if masks.probability is None else masks.probability[numbers]
    names = ("signal_shift", "signal_variance", "excess_variance")
    return MaskSet(codes, masks.auxclean, probability=chance, **{name: getattr(masks, name) for name in names})


def mm_masks(stack, **rules):
    boundary = PiecewiseBoundary([(0, 18), (400, 60)]).fit(None)
    return stack.detect("mmcosmic", aux=None, boundary=boundary, rules=MaskRules(**rules))


@pytest.mark.parametrize("own_variances", [False, True])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_combinations_with_bad_values(name, own_variances):
    four, three = stacks(own_variances)
    joint = name in ("meanjoint", "mediancr")
    masks = four.detect(method=JointPosterior()) if joint else mm_masks(four, dilation=1)
    options = {"variance": "model"} if name != "meancr2" else {"fill": "neighbours"}
    made = four.combine(name, masks=masks, full_output=True, **options)
    expected = three.combine(name, masks=without_one(masks), full_output=True, **options)
    np.testing.assert_array_equal(made.count[INSIDE], expected.count[INSIDE])
    np.testing.assert_array_equal(made.flags[INSIDE], expected.flags[INSIDE])
    np.testing.assert_array_equal(made.ccd.mask[INSIDE], expected.ccd.mask[INSIDE])
    filled = (expected.flags[INSIDE] & PixelFlag.INTERPOLATED) > 0
    for ours, theirs in (
        (made.ccd.data, expected.ccd.data),
        (made.ccd.uncertainty.array, expected.ccd.uncertainty.array),
    ):
        # errors of filled pixels are measured on the whole image
        np.testing.assert_allclose(ours[INSIDE][~filled], theirs[INSIDE][~filled], rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("dilation", [0, 1])
def test_masks_of_mmcosmic_with_bad_values(dilation):
    four, three = stacks()
    masks, expected = mm_masks(four, dilation=dilation), mm_masks(three, dilation=dilation)
    assert expected["MEDIANCR"][INSIDE].sum() > 10
    ours = without_one(masks)
    for name in expected:
        np.testing.assert_array_equal(ours.codes[name][INSIDE], expected.codes[name][INSIDE], err_msg=name)
    # no rule flags a bad value, except for a forced pixel
    assert not masks[f"CRMASK{LOST + 1}"][:, :EDGE].any()


def test_the_joint_decision_with_bad_values():
    four, three = stacks()
    masks, expected = four.detect(method=JointPosterior()), three.detect(method=JointPosterior())
    ours = without_one(masks)
    assert not masks.probability[LOST, :, :EDGE].any()
    assert not masks[f"CRMASK{LOST + 1}"][:, :EDGE].any()
    # the hits are the same in both; the fitted populations differ a little
    differ = np.abs(ours.probability[:, *INSIDE].astype(float) - expected.probability[:, *INSIDE])
    sure = np.abs(expected.probability[:, *INSIDE].astype(float) - 0.5) > 0.45
    assert sure.mean() > 0.9
    assert (differ[sure] < 0.3).mean() > 0.998
    # a hit in a pixel with a bad value of another exposure stays in MEANCRT
    hit = ours.crmasks[:, *INSIDE].any(axis=0)
    assert hit.sum() > 100
    assert ours["MEANCRT"][INSIDE][hit].all()
