"""Images for L.A.Cosmic."""

import astropy.units as u
import numpy as np
from astroscrappy import detect_cosmics, gausskernel

from crstack.noise import NoiseModel

READNOISE = 4.0
SKY = 100.0
#: arguments of the direct calls of detect_cosmics; satlevel and niter are those of the detector
BY_HAND = {"sigfrac": 0.3, "objlim": 5.0, "readnoise": READNOISE, "satlevel": 65535.0, "niter": 4, "sepmed": True}


def in_electrons(**changes):
    return NoiseModel(**{"readnoise": READNOISE * u.electron, "unit": u.electron, **changes})


def make_scene(shape=(120, 150), n_stars=8, n_hits=40, seed=7):
    """Image in electrons, expected image without hits, and the mask of the hits."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    expected = np.full(shape, SKY)
    for _ in range(n_stars):
        r2 = (y - rng.uniform(0, ny)) ** 2 + (x - rng.uniform(0, nx)) ** 2
        expected += 10 ** rng.uniform(2, 4) * np.exp(-0.5 * r2 / (3.0 / 2.3548) ** 2)
    image = rng.poisson(expected) + rng.normal(0, READNOISE, shape)
    truth = np.zeros(shape, dtype=bool)
    for _ in range(n_hits):
        row, column = rng.integers(0, ny), rng.integers(0, nx)
        for length, charge in enumerate(rng.uniform((1500, 20), (4000, 300))):
            if column + length < nx:
                image[row, column + length] += charge
                truth[row, column + length] = True
    return image.astype(np.float32), expected.astype(np.float32), truth


def make_sky(shape=(60, 70), seed=3):
    rng = np.random.default_rng(seed)
    return (rng.poisson(SKY, shape) + rng.normal(0, READNOISE, shape)).astype(np.float32)


def by_hand(image, sigclip, **changes):
    options = {**BY_HAND, "fsmode": "convolve", "psfk": gausskernel(2.5, 11), "cleantype": "meanmask", **changes}
    return detect_cosmics(image, sigclip=sigclip, **options)
