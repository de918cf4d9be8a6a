"""Small exposures that are made and read for tests."""

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData

from crstack.exposures import load_exposures

SHAPE = (60, 70)
SKY, READNOISE = 140.0, 4.0


def made(n=3, seed=1, sky=SKY, stars=True, dtype=np.float32):
    """Exposures in electrons of a sky and a star."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    scene = sky + (3000 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / 20) if stars else 0)
    return [(rng.poisson(scene, SHAPE) + rng.normal(0, READNOISE, SHAPE)).astype(dtype) for _ in range(n)]


def load(images, **options):
    ccds = [CCDData(image, unit=u.electron) for image in images]
    return load_exposures(ccds, readnoise=READNOISE * u.electron, **options)
