"""Given terms that the exposures contradict, and differences that are neither given nor measured."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage
from support.stacks import stack_of

from crstack import JointPosterior
from crstack.datasets import make_stack
from crstack.equalize.terms.given_terms import rough_levels
from crstack.exceptions import InputError

#: what is tested comes before or after the decision
pytestmark = pytest.mark.usefixtures("quick_joint")

SHAPE = (180, 200)
LEVELS = (100.0, 140.0, 220.0)


def words(simulated, **options):
    """The warnings of what is given, without those of the WCS."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert stack_of(simulated, **options).prepared.known
    return " | ".join(str(one.message) for one in caught)


@pytest.fixture(scope="module", params=["imaging", "slit", "ifu"])
def equal(request):
    return make_stack(request.param, SHAPE, 3, seed=8, hit_rate=0.01)


@pytest.fixture(scope="module", params=["imaging", "slit", "ifu"])
def unequal(request):
    options = {"flux_factors": (0.7, 1, 1.3), "offsets": ((2, 1), (0, 0), (-3, -2))}
    return make_stack(request.param, SHAPE, 3, seed=8, hit_rate=0.01, **options)


RIGHT = [
    {},
    {"differences": None},
    {"flux_factors": (1, 1, 1)},
    {"backgrounds": (0, 0, 0)},
    {"offsets": ((0, 0),) * 3},
    {"response": (1.0, 1.0, 1.0)},
    {"seeing": (2.5, 2.5, 2.5)},
]


@pytest.mark.parametrize("options", RIGHT)
def test_equal_exposures_and_right_terms_give_no_warning(equal, options):
    assert words(equal, **options) == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"flux_factors": (1, 1, 2)},
            "flux_factors as given do not fit the exposures: bright pixels still differ by fac",
        ),
        ({"backgrounds": (0, 0, 100)}, "backgrounds as given do not fit the exposures: without them the levels still"),
        (
            {"offsets": ((0, 0), (0, 5), (0, 0))},
            r"exposure 2 by (+0, +5) pixels where the images agree best after (+0, +0)",
        ),
        ({"response": (1.0, 1.0, 3.0)}, "response as given do not fit the exposures: bright pixels still differ"),
    ],
)
def test_wrong_terms_are_named_with_numbers(equal, options, expected):
    assert expected in words(equal, **options)


def test_right_terms_of_unequal_exposures(unequal):
    assert words(unequal, flux_factors=(0.7, 1, 1.3)) == ""
    assert words(unequal, offsets=((2, 1), (0, 0), (-3, -2))) == ""


def test_factors_the_wrong_way_and_offsets_of_the_wrong_sign(unequal):
    assert "flux_factors as given do not fit" in words(unequal, flux_factors=(1.3, 1, 0.7))
    found = words(unequal, offsets=((-2, -1), (0, 0), (3, 2)))
    assert "exposure 3 by (+3, +2) pixels where the images agree best after (-3, -2)" in found


def test_what_differs_and_is_not_measured(unequal):
    found = words(unequal, differences=None)
    assert "this is neither given nor measured" in found
    assert 'differences="auto" (parameter file: differences: auto)' in found
    # measured: no warning
    assert words(unequal) == ""


@pytest.fixture(scope="module")
def of_skies():
    levels = [one * u.electron for one in LEVELS]
    return make_stack("imaging", SHAPE, hit_rate=0.01, seed=8, backgrounds=levels, gain=1 * u.electron / u.adu)


@pytest.mark.parametrize("options", [{"differences": None}, {"backgrounds": None}])
def test_skies_that_are_not_measured(of_skies, options):
    assert "the exposures differ in level by -28.58, +0, +91.18, where the noise of a value is 15.9 adu" in words(
        of_skies, **options
    )


@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")
@pytest.mark.parametrize("options", [{"measure": False}, {"excess": False}])
def test_a_joint_decision_that_measures_nothing_warns_too(of_skies, options):
    with pytest.warns(match="the exposures differ in level by"):
        stack_of(of_skies).detect(JointPosterior(**options))


@pytest.mark.parametrize("given", [[1e9, 1, 1], [1e9, 1, 1] * u.adu, [np.full(SHAPE, 1e5), 0.0, 0.0]])
def test_impossible_levels_are_refused(of_skies, given):
    with pytest.raises(
        InputError, match=r"backgrounds must differ by less than the values of the exposures, which are"
    ):
        stack_of(of_skies, backgrounds=given)


@pytest.mark.parametrize("factors", [[1e9, 1, 1], [1, 1e-9, 1], 1e9])
def test_impossible_factors_are_refused(of_skies, factors):
    with pytest.raises(InputError, match=r"flux_factors must be a number at least 0\.001 and at most 1000"):
        stack_of(of_skies, flux_factors=factors)


def test_seeing_in_the_wrong_order_or_unit():
    widths = (2.2, 2.9, 3.6)
    simulated = make_stack("imaging", (500, 500), 3, seed=8, hit_rate=0.01, seeing=widths)
    assert words(simulated, seeing=widths) == ""
    expected = (
        "seeing as given does not fit the exposures: 3.6, 2.9, 2.2 pixels where stars have widths (FWHM) of about 2."
    )
    assert expected in words(simulated, seeing=widths[::-1])
    assert "seeing as given" in words(simulated, seeing=[one / 3 for one in widths])


@pytest.mark.parametrize(("method", "most", "least"), [("joint", 100, 0.98), ("mmcosmic", 500, 0.92)])
def test_given_offsets_and_unequal_sky_leave_plain_sky(method, most, least):
    """The common image is that of one level."""
    offsets = ((3, 2), (0, 0), (-4, 1))
    levels = [one * u.electron for one in LEVELS]
    simulated = make_stack("imaging", SHAPE, hit_rate=0.01, seed=8, backgrounds=levels, offsets=offsets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks = stack_of(simulated, offsets=offsets).detect(method, aux=None)
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), np.ones((3, 3)))
    assert 1e6 * (masks.crmasks & ~near).mean() < most
    strong = simulated.hit_mask(7)
    assert (masks.crmasks & strong).sum() / strong.sum() > least


def test_rough_levels(of_skies):
    exposures = stack_of(of_skies).prepared.given
    found = rough_levels(exposures, (1.0, 1.0, 1.0))
    np.testing.assert_allclose(found, np.array(LEVELS) - np.mean(LEVELS), atol=15)
    assert np.mean(found) == pytest.approx(0, abs=1e-6)
    # equal levels stay what they are
    assert rough_levels(stack_of(make_stack("imaging", SHAPE, seed=8)).prepared.given, (1.0,) * 3) is None
