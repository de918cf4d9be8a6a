"""An exposure of a field of stars that is much sharper than the others."""

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.equalize.fit.kernels.kernel import PixelsToFit
from crstack.equalize.fit.kernels.kernel_equations import NormalEquations, _more_on_contrast
from crstack.equalize.fit.kernels.kernel_terms import SIZE

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


@pytest.mark.parametrize(("change", "sharper"), [(0.0, False), (0.2, False), (0.4, True), (1.0, True)])
def test_stars_are_sharper_from_a_change_of_their_second_moment_on(change, sharper):
    """By more than 0.3 square pixels; without noise."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:120, :120]
    places, fluxes = rng.uniform(10, 110, (30, 2)), rng.uniform(2e4, 2e5, 30)

    def image(moment):
        stars = zip(places, fluxes / (2 * np.pi * moment), strict=True)
        return sum(peak * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 2 / moment) for (a, b), peak in stars)

    common, half = image(2.6), SIZE // 2
    steps = np.lib.stride_tricks.sliding_window_view(common, (SIZE, SIZE)).reshape(-1, SIZE**2).T
    difference, light = (one[half:-half, half:-half].ravel() for one in (image(2.6 - change) - common, common))
    folds = np.arange(light.size) % 2 == 0
    pixels = PixelsToFit(difference[None], light[None] + 100, steps[None, ::-1], light, folds)
    normal = NormalEquations(pixels, least_share=0.05)
    assert normal._is_sharper(normal.matrices[0], normal.vectors[0], SIZE) == sharper


@pytest.mark.parametrize(("on_contrast", "more"), [(5, False), (20, False), (21, True), (60, True)])
def test_few_hits_more_where_the_contrast_is_highest_are_no_cores_of_stars(on_contrast, more):
    """With 1 per cent elsewhere, 10 are expected in 1000 pixels; 1.5 times as many, and 5 more, are too many."""
    highest, hit = np.arange(5000) < 1000, np.zeros(5000, dtype=bool)
    hit[:on_contrast] = hit[1000:1040] = True
    assert _more_on_contrast(hit, np.ones(5000, dtype=bool), highest) == more
