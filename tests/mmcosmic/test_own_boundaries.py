"""Many exposures: the boundary of the median is too low for single exposures."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty
from scipy.ndimage import binary_dilation

from crstack import CalibratedBoundary, CRStack, SplineBoundary

SKY, READNOISE = 100, 4


def exposures(n, shape=(120, 120), n_hits=50):
    """Flat exposures in electrons, and their hits."""
    rng = np.random.default_rng(n)
    hits = np.zeros((n, *shape))
    for plane in hits:
        plane[rng.integers(0, shape[0], n_hits), rng.integers(0, shape[1], n_hits)] = rng.exponential(700, n_hits)
    noisy = rng.poisson(SKY, hits.shape) + hits + rng.normal(0, READNOISE, hits.shape)
    return [CCDData(plane.astype(np.float32), unit=u.electron) for plane in noisy], hits


@pytest.mark.parametrize(("n", "side"), [(5, 120), (8, 100)])
def test_clean_values_of_many_exposures_are_not_flagged(n, side):
    ccds, hits = exposures(n, (side, side), side**2 // 288)
    stack = CRStack(ccds, readnoise=READNOISE * u.electron)
    near = np.array([binary_dilation(plane > 0, np.ones((3, 3))) for plane in hits])
    lost, bias = {}, {}
    for boundary in ("auto", "spline"):
        masks = stack.detect("mmcosmic", aux=None, boundary=boundary)
        assert masks.crmasks[hits > 200].mean() > 0.99
        lost[boundary] = (masks.crmasks & ~near).sum() / (masks["MEANCRT"] & ~near).sum()
        ccd = stack.combine("meancr")
        inside = masks["MEANCRT"] & ~ccd.mask
        bias[boundary] = ((ccd.data - SKY) / np.sqrt(ccd.uncertainty.array))[inside].mean()
    assert lost["auto"] < 0.002
    assert abs(bias["auto"]) < 0.08
    # the rule of the reference, in parameter files
    assert lost["spline"] > 0.1
    assert bias["spline"] < -0.1


def model_of(stack):
    return stack.detect("mmcosmic", aux=None).decision.boundary.model


def test_which_boundary_is_the_usual_one():
    ccds, _ = exposures(4, (60, 60), 10)
    noise = {"readnoise": READNOISE * u.electron}
    assert isinstance(model_of(CRStack(ccds, **noise)), CalibratedBoundary)
    assert isinstance(model_of(CRStack(ccds[:3], **noise)), SplineBoundary)
    # a calibrated boundary cannot be computed for exposures that differ or have variances of their own
    assert isinstance(model_of(CRStack(ccds, flux_factors=[1, 1.1, 1, 0.9], **noise)), SplineBoundary)
    own = [CCDData(ccd, uncertainty=VarianceUncertainty(np.full(ccd.shape, 116.0))) for ccd in ccds]
    assert isinstance(model_of(CRStack(own, **noise)), SplineBoundary)
    fitted = CRStack(ccds, **noise)
    fitted.fit_boundary("spline")
    assert isinstance(model_of(fitted), SplineBoundary)
