"""The Combiner of ccdproc with the noise of crstack; a warning would be an error here."""

import astropy.units as u
import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty, VarianceUncertainty

from crstack import CRStack, MaskSet
from crstack.combine import order_variance

SHAPE = (12, 14)
SIGMAS = np.array([3.0, 4.0, 6.0])
#: pixels hit in one exposure, in two, and in all
ONE, TWO, ALL = (2, 3), (5, 5), (9, 1)


@pytest.fixture
def noisy():
    """A stack of exposures that differ in noise, with masks."""
    rng = np.random.default_rng(8)
    ccds = [
        CCDData(rng.normal(50, sigma, SHAPE), unit=u.adu, uncertainty=StdDevUncertainty(np.full(SHAPE, sigma)))
        for sigma in SIGMAS
    ]
    ccds[0].header["OBJECT"] = "M 31"
    names = ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR")
    codes = {name: np.zeros(SHAPE, np.uint8) for name in names}
    for i, where in enumerate(([ALL], [TWO, ALL], [ONE, TWO, ALL]), start=1):
        codes[f"CRMASK{i}"][tuple(np.transpose(where))] = 2
    stack = CRStack(ccds, gain=1 * u.electron / u.adu, readnoise=3 * u.electron)
    return stack, MaskSet(codes)


def check(combined, stack, value, variance):
    """Value and variance are functions of the exposures that are used."""
    assert isinstance(combined.uncertainty, VarianceUncertainty)
    assert combined.uncertainty.unit == u.adu**2
    assert combined.unit == u.adu
    assert combined.header["OBJECT"] == "M 31"
    assert combined.header["NCOMBINE"] == 3
    for place, used in (((0, 0), [0, 1, 2]), (ONE, [0, 1]), (TWO, [0])):
        assert combined.data[place] == pytest.approx(value(stack.exposures.data[used, *place], used), rel=1e-5)
        assert combined.uncertainty.array[place] == pytest.approx(variance(SIGMAS[used] ** 2, used), rel=1e-5)
    assert np.argwhere(combined.mask).tolist() == [list(ALL)]
    # no variance of 0, which would be an infinite weight
    assert np.isnan(combined.uncertainty.array[ALL])


def test_mean_sum_and_median_have_the_variance_of_the_noise(noisy):
    stack, masks = noisy
    combiner = stack.to_combiner(masks=masks)
    assert isinstance(combiner, ccdproc.Combiner)
    check(combiner.average_combine(), stack, lambda x, _: x.mean(), lambda v, _: v.sum() / len(v) ** 2)
    check(combiner.sum_combine(), stack, lambda x, _: x.sum(), lambda v, _: v.sum())
    middle = {1: order_variance(1, 1, 0, 0), 2: order_variance(2, 2, 0, 1), 3: order_variance(3, 3, 1, 1)}
    check(combiner.median_combine(), stack, lambda x, _: np.median(x), lambda v, _: v.mean() * middle[len(v)])


def test_weights_and_scaling_of_ccdproc(noisy):
    stack, masks = noisy
    weights, scale = np.array([1.0, 2.0, 5.0]), np.array([1.0, 0.5, 2.0])
    for factors, options in ((np.ones(3), {}), (scale, {}), (np.full(3, 3.0), {"scale_to": 3.0})):
        combiner = stack.to_combiner(masks=masks)
        combiner.weights = weights
        if factors is scale:
            combiner.scaling = scale

        def share(used, factors=factors):
            return weights[used] * factors[used] / weights[used].sum()

        mean = combiner.average_combine(**options)
        check(mean, stack, lambda x, used: (share(used) * x).sum(), lambda v, used: (share(used) ** 2 * v).sum())


def test_clipped_values_do_not_count(noisy):
    stack, masks = noisy
    combiner = stack.to_combiner(masks=masks)
    combiner.data_arr.mask[2] = True
    mean = combiner.average_combine()
    assert mean.uncertainty.array[0, 0] == pytest.approx((9 + 16) / 4)


def test_other_functions_keep_the_uncertainty_of_ccdproc(noisy):
    stack, masks = noisy
    combiner = stack.to_combiner(masks=masks)
    for combined in (
        combiner.average_combine(uncertainty_func=np.ma.std),
        combiner.average_combine(scale_func=np.ma.average),
        combiner.median_combine(uncertainty_func=np.ma.std),
        combiner.sum_combine(uncertainty_func=np.ma.std),
    ):
        assert isinstance(combined.uncertainty, StdDevUncertainty)


def test_the_mean_is_meancr(stack):
    masks = stack.detect(aux="pycosmic")
    mean, meancr = stack.to_combiner(masks=masks).average_combine(), stack.combine("meancr", masks=masks)
    clean = ~masks.problematic
    np.testing.assert_allclose(mean.data[clean], meancr.data[clean], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(mean.uncertainty.array[clean], meancr.uncertainty.array[clean], rtol=1e-4)
    assert mean.wcs is stack.exposures.wcs
