"""Bad values of exposures that are shifted by whole pixels: they hide another part of the scene in each exposure."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack, JointPosterior

SHAPE, SKY, READNOISE, FULL = (200, 240), 150.0, 6.0, 30_000.0


def field(shift):
    """Stars, one of which is saturated."""
    rng = np.random.default_rng(3)
    x, y = rng.uniform(10, SHAPE[1] - 10, 60), rng.uniform(10, SHAPE[0] - 10, 60)
    flux = 10 ** rng.uniform(3.5, 5.2, 60)
    x, y, flux = np.append(x, 118.3), np.append(y, 101.6), np.append(flux, 6e5)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, SKY)
    for a, b, total in zip(x + shift[0], y + shift[1], flux, strict=True):
        distance = (columns - a) ** 2 + (rows - b) ** 2
        image += total / (2 * np.pi * 1.44) * np.exp(-distance / (2 * 1.44))
    return image


@pytest.mark.parametrize("shifts", [((0, 0), (2, 0), (0, 3)), ((0, 0), (1.4, -0.3), (-0.2, 2.6))])
@pytest.mark.filterwarnings("ignore:the exposures are not aligned")
def test_the_wings_of_a_saturated_star_are_no_hits(shifts):
    """Its core was filled with values of the other exposures from beside the star, so that the star was missing."""
    rng = np.random.default_rng(4)
    expected = np.array([field(shift) for shift in shifts])
    cube = np.minimum(rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape), FULL)
    ccds = [CCDData(one.astype("f4"), unit="electron") for one in cube]
    stack = CRStack(ccds, readnoise=READNOISE * u.electron, saturation=FULL * u.electron)
    masks = stack.detect(JointPosterior())
    near = np.s_[:, 85:120, 100:137]
    assert (cube == FULL)[near].sum() > 20
    # 20 to 50 before
    assert masks.crmasks[near].sum() <= 3
