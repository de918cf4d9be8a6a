"""An exposure of a field of stars that is much sharper than the others."""

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack
from crstack.datasets import make_stack

SHAPE, SKY, READNOISE = (150, 200), 120.0, 5.0


def _stars(rng, widths):
    """Expected exposures with 40 stars of the profile of Moffat (1969, A&A 3, 455), and these widths (FWHM, pixels)."""
    x, y, fluxes = rng.uniform(5, SHAPE[1] - 5, 40), rng.uniform(5, SHAPE[0] - 5, 40), 10 ** rng.uniform(3.5, 5, 40)
    rows, columns = np.indices(SHAPE)
    for width in widths:
        scale = width / 2 / np.sqrt(2 ** (1 / 3.5) - 1)
        yield SKY + sum(
            flux * 2.5 / (np.pi * scale**2) * (1 + ((columns - a) ** 2 + (rows - b) ** 2) / scale**2) ** -3.5
            for a, b, flux in zip(x, y, fluxes, strict=True)
        )


@pytest.mark.filterwarnings("ignore:stars are much wider", "ignore:pixels of stars")
@pytest.mark.parametrize("widths", [(2.6, 4.4), (2.4, 3.3, 4.6)])
def test_cores_of_stars_of_a_sharp_exposure_are_no_hits(widths):
    """Without hits, a fit that takes the cores of stars for hits flags far more of these values."""
    flagged = []
    for seed in (32, 33, 34):
        rng = np.random.default_rng(seed)
        scenes = np.array(list(_stars(rng, widths)))
        images = np.float32(rng.poisson(scenes) + rng.normal(0, READNOISE, scenes.shape))
        masks = CRStack(list(images), unit=u.electron, readnoise=READNOISE * u.electron).detect()
        flagged.append(int(masks.crmasks.sum()))
    assert max(flagged) < 60, flagged


@pytest.mark.parametrize("n", [2, 5])
def test_a_long_track_along_a_fibre_is_no_sharper_exposure(n):
    """Equal exposures in which the hits of one lie where the contrast is highest: no difference is measured."""
    simulated = make_stack("ifu", (80, 100), n, hit_rate=0.03, seed=4)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    assert not stack.joint_posterior().measured
