"""Warnings of the masks of a method."""

import warnings

import astropy.units as u
import pytest

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning

SIMULATED = make_stack("ifu", (64, 80), 3, gain=1.3 * u.electron / u.adu, hit_rate=0.02, seed=1)


def masks_of(method, **settings):
    stack = CRStack(SIMULATED.exposures, gain=SIMULATED.gain, readnoise=SIMULATED.readnoise, **settings)
    return stack.detect(method, aux=None)


def test_given_offsets_blur_the_median_that_the_joint_decision_expects():
    with pytest.warns(CRStackWarning) as caught:
        masks_of(JointPosterior(), offsets=((0, 0), (0.4, 0), (-0.2, 0.5)), flux_method="slope")
    [words] = [str(one.message) for one in caught if "offsets that differ" in str(one.message)]
    assert words.startswith("offsets that differ by 0.6 pixels are given. ")
    assert "Leave offsets= (parameter file: mm_xy_offsets) out" in words


@pytest.mark.parametrize(
    ("method", "offsets"),
    [
        (JointPosterior(), "auto"),
        (JointPosterior(), None),
        (JointPosterior(), ((0, 0), (0.4, 0), (-0.2, 0.5))),
        (JointPosterior(), ((7, 0), (7, 0), (7.3, 0.4))),
        ("mmcosmic", "auto"),
    ],
)
def test_other_offsets_have_no_such_warning(method, offsets):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        masks_of(method, offsets=offsets)
    assert not [one for one in caught if "offsets that differ" in str(one.message)]
