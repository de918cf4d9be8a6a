"""Combinations of exposures: values, variances, counts, flags and headers."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty, VarianceUncertainty
from support.combining import NOISE, SEVEN, SHAPE, combiner_of, masks_of, planes
from support.stacks import stack_of

from crstack import CRStack
from crstack.combine import COMBINATIONS, Combiner, PixelFlag
from crstack.combine import combiner as combiner_module
from crstack.datasets import make_stack
from crstack.exceptions import InputError

# the combinations come after the joint decision
pytestmark = pytest.mark.usefixtures("quick_joint")


def test_values_of_each_combination():
    ccds = planes()
    cube = np.array([ccd.data for ccd in ccds])
    low, middle, mean = cube.min(axis=0), np.median(cube, axis=0), cube.mean(axis=0)
    masks = masks_of(
        MEDIANCR=[(1, 1)], MEANCRT=[(1, 1), (2, 2)], CRMASK1=[(2, 2), (3, 3)], CRMASK2=[(3, 3)], CRMASK3=[(3, 3)],
        MEANCR=[(4, 4)],
    )  # fmt: skip
    combiner = combiner_of(ccds, masks)
    expected = {name: mean.copy() for name in SEVEN}
    expected["median"], expected["min"], expected["mediancr"] = middle, low, middle.copy()
    expected["mediancr"][1, 1] = low[1, 1]
    expected["meancrt"][1, 1], expected["meancrt"][2, 2] = low[1, 1], middle[2, 2]
    for name in ("meancr", "meancr2"):
        expected[name][2, 2] = cube[1:, 2, 2].mean()
        expected[name][3, 3] = low[3, 3]
    expected["meancr2"][4, 4] = low[4, 4]
    for name in SEVEN:
        result = combiner.combine(name)
        np.testing.assert_allclose(result.ccd.data, expected[name], rtol=1e-6, err_msg=name)
        assert result.ccd.data.dtype == np.float32
        assert result.ccd.unit == u.adu
        assert isinstance(result.ccd.uncertainty, VarianceUncertainty)
        assert result.ccd.uncertainty.unit == u.adu**2
    # a combination must not change the shared results
    np.testing.assert_allclose(combiner.combine("mean").ccd.data, mean, rtol=1e-6)


def test_counts_masks_and_flags():
    masks = masks_of(
        MEDIANCR=[(1, 1)], MEANCRT=[(1, 1), (2, 2)], CRMASK1=[(2, 2), (3, 3)], CRMASK2=[(3, 3)], CRMASK3=[(3, 3)],
        MEANCR=[(4, 4)],
    )  # fmt: skip
    combiner = combiner_of(planes(), masks)
    result = {name: combiner.combine(name) for name in SEVEN}
    assert (result["mean"].count == 3).all()
    assert (result["min"].count == 1).all()
    assert result["mediancr"].count[1, 1] == 1
    assert result["mediancr"].flags[1, 1] == PixelFlag.MINIMUM
    assert result["meancrt"].flags[1, 1] == PixelFlag.MINIMUM | PixelFlag.MEDIANCR
    assert result["meancrt"].flags[2, 2] == PixelFlag.MEDIANCR
    assert result["meancr"].count[2, 2] == 2
    assert result["meancr2"].flags[4, 4] == PixelFlag.MINIMUM
    for name in SEVEN[3:]:
        assert result[name].flags[3, 3] & PixelFlag.ALL_HIT
        np.testing.assert_array_equal(np.argwhere(result[name].ccd.mask), [[3, 3]])
        assert result[name].count[3, 3] == 0


def test_use_auxmedian():
    auxclean = np.full(SHAPE, 77, np.float32)
    masks = masks_of(
        auxclean=auxclean, MEDIANCR=[(1, 1)], MEANCRT=[(1, 1), (2, 2)], CRMASK1=[(3, 3)], CRMASK2=[(3, 3)],
        CRMASK3=[(3, 3)], MEANCR=[(4, 4)],
    )  # fmt: skip
    ccds = planes()
    combiner = combiner_of(ccds, masks, use_auxmedian=True)
    assert combiner.combine("mediancr").ccd.data[1, 1] == 77
    meancrt = combiner.combine("meancrt").ccd
    assert meancrt.data[1, 1] == 77
    assert meancrt.data[2, 2] == pytest.approx(np.median([ccd.data[2, 2] for ccd in ccds]))
    assert combiner.combine("meancr").ccd.data[3, 3] == 77
    meancr2 = combiner.combine("meancr2")
    assert meancr2.ccd.data[4, 4] == 77
    # interpolated values are not measurements
    assert meancr2.ccd.mask[4, 4]
    assert meancr2.count[4, 4] == 0
    with pytest.raises(InputError, match="use_auxmedian must be False for masks without a cleaned median"):
        combiner_of(planes(), masks_of(), use_auxmedian=True)


def test_nothing_hit_means_the_mean_bit_for_bit():
    combiner = combiner_of(planes(5), masks_of(5))
    mean = combiner.combine("mean").ccd
    for name in ("meancrt", "meancr", "meancr2"):
        np.testing.assert_array_equal(combiner.combine(name).ccd.data, mean.data)
        np.testing.assert_allclose(combiner.combine(name).ccd.uncertainty.array, mean.uncertainty.array, rtol=1e-6)
    np.testing.assert_array_equal(combiner.combine("mediancr").ccd.data, combiner.combine("median").ccd.data)


def test_bad_pixels_and_hits_stay_distinguishable():
    ccds = planes()
    for ccd in ccds:
        ccd.mask = np.zeros(SHAPE, bool)
    ccds[0].mask[5, 5] = True
    for ccd in ccds:
        ccd.mask[6, 6] = True
    masks = masks_of(CRMASK2=[(5, 5)], CRMASK3=[(7, 7)])
    combiner = combiner_of(ccds, masks)
    meancr = combiner.combine("meancr")
    assert meancr.ccd.data[5, 5] == pytest.approx(ccds[2].data[5, 5])
    assert meancr.count[5, 5] == 1
    assert meancr.flags[6, 6] & PixelFlag.NO_DATA
    for name in SEVEN:
        result = combiner.combine(name)
        assert result.ccd.mask[6, 6]
        assert np.isnan(result.ccd.data[6, 6])
        valid = ~result.ccd.mask
        assert (result.ccd.uncertainty.array[valid] > 0).all()
        assert np.isfinite(result.ccd.data[valid]).all()


def test_given_uncertainties_propagate():
    ccds = planes()
    for i, ccd in enumerate(ccds):
        ccd.uncertainty = StdDevUncertainty(np.full(SHAPE, 3.0 + i))
    combiner = combiner_of(ccds, masks_of(CRMASK1=[(2, 2)]))
    mean = combiner.combine("mean").ccd.uncertainty.array
    np.testing.assert_allclose(mean, (9 + 16 + 25) / 9)
    meancr = combiner.combine("meancr").ccd.uncertainty.array
    assert meancr[2, 2] == pytest.approx((16 + 25) / 4)
    assert meancr[0, 0] == pytest.approx(50 / 9)


def test_sample_variance_is_that_of_the_values_combined():
    ccds = planes(4)
    masks = masks_of(4, CRMASK1=[(2, 2), (3, 3)], CRMASK2=[(3, 3)], CRMASK3=[(3, 3)])
    result = combiner_of(ccds, masks, variance="sample").combine("meancr").ccd.uncertainty.array
    cube = np.array([ccd.data for ccd in ccds])
    assert result[0, 0] == pytest.approx(cube[:, 0, 0].var(ddof=1), rel=1e-5)
    assert result[2, 2] == pytest.approx(cube[1:, 2, 2].var(ddof=1), rel=1e-5)
    assert np.isnan(result[3, 3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: combiner_of(planes(), masks_of(4)), "masks must be of 3 exposures; got 4"),
        (lambda: combiner_of([c[:5] for c in planes()], masks_of()), r"masks must have the shape \(5, 14\)"),
        (lambda: combiner_of(planes()).combine("meancr"), "masks must be given for meancr; got None"),
        (lambda: combiner_of(planes()).combine("mode"), "combination must be one of mean, median, min"),
        (lambda: combiner_of(planes(), variance="none"), "variance must be one of model, sample; got 'none'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_header_and_wcs_of_the_first_exposure(stack, simulated):
    ccd = stack.combine("mean")
    assert ccd.header["OBJECT"] == simulated.exposures[0].header["OBJECT"]
    assert ccd.wcs.wcs.compare(simulated.exposures[0].wcs.wcs)
    ccd.header["OBJECT"] = "changed"
    ccd.data[:] = 0
    assert stack.combine("mean").header["OBJECT"] != "changed"
    assert stack.combine("mean").data.any()


def test_full_output(stack):
    full = stack.combine("meancr2", full_output=True)
    assert full.count.shape == full.flags.shape == full.ccd.shape
    assert full.count.dtype == np.int16
    np.testing.assert_array_equal(full.ccd.data, stack.combine("meancr2").data)
    np.testing.assert_array_equal(full.count == 0, full.ccd.mask)
    assert "meancr2" in repr(full)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_combined_with_ccdproc_units(flat_exposures, n):
    """Electrons in, electrons out; the same values as in ADU times the gain."""
    adu = flat_exposures(n)
    electrons = [plane.value * 2.0 * u.electron for plane in adu]
    one = CRStack(adu, **NOISE).combine("meancr2")
    other = CRStack(electrons, readnoise=5 * u.electron).combine("meancr2")
    np.testing.assert_allclose(one.data * 2, other.data, rtol=1e-5)
    np.testing.assert_allclose(one.uncertainty.array * 4, other.uncertainty.array, rtol=1e-5)


def test_images_do_not_depend_on_the_order_in_which_they_are_made(monkeypatch):
    """Intermediate results are kept between images that are not large."""
    stack = stack_of(make_stack("ifu", shape=(60, 70), n_exposures=5, seed=3))
    masks = stack.detect("joint")

    def made(names):
        combiner = Combiner(stack.exposures, stack.statistics, masks)
        return {name: combiner.combine(name) for name in names}

    usual = made(COMBINATIONS)
    for names, large in ((reversed(COMBINATIONS), combiner_module.LARGE), (COMBINATIONS, 0)):
        monkeypatch.setattr(combiner_module, "LARGE", large)
        for name, one in made(names).items():
            np.testing.assert_array_equal(one.ccd.data, usual[name].ccd.data)
            np.testing.assert_array_equal(one.ccd.uncertainty.array, usual[name].ccd.uncertainty.array)
            np.testing.assert_array_equal(one.count, usual[name].count)
