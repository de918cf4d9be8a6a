"""The scenes of a night by name: sky, seeing, pointing, throughput and absorption change between the exposures."""

import astropy.units as u
import numpy as np
from _night import RATE, READNOISE, Night, per_exposure
from _night_fields import imaging, isolated
from _night_slits import slit
from scipy import ndimage

from crstack.datasets import make_stack


def spectra(name, shape, n, seed, *, scene, population="cosmic", **differences):
    """Fibres or echelle orders; what differs cycles through the exposures."""
    settings = {key: per_exposure(value, n) if np.ndim(value) else value for key, value in differences.items()}
    simulated = make_stack(
        scene, shape, n, gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron, hit_rate=RATE,
        population=population, seed=seed, **settings,
    )  # fmt: skip
    cube = np.array([ccd.data for ccd in simulated.exposures], np.float32)
    mean = simulated.expected.mean(axis=0)
    level = ndimage.percentile_filter(mean[::2, ::2], 10, 9)
    level = np.repeat(np.repeat(level, 2, axis=0), 2, axis=1)[: shape[0], : shape[1]]
    return Night(name, np.array(simulated.expected), np.array(simulated.hits), cube, level)


SHIFTS = ((0.2, -0.1), (-0.05, 0.1), (-0.15, 0.0), (0.1, 0.15), (0.0, -0.2))
SKIES = (1, 1.12, 0.9, 1.05, 0.95)
SPECTRA = {
    "flux_factors": (0.94, 1.0, 1.05, 0.97, 1.02),
    "sky_factors": SKIES,
    "offsets": tuple((dx / 2, dy / 2) for dx, dy in SHIFTS),
    "response_jitter": 0.02,
}
SCENES = {
    "imaging equal": (imaging, {}),
    "imaging sky": (imaging, {"sky": (80, 104, 143, 90, 120)}),
    "imaging slopes": (imaging, {"sky": (80, 104, 143), "slope": (30, -20, 5)}),
    "imaging seeing": (imaging, {"fwhm": (2.4, 2.6, 2.95, 2.5, 2.8)}),
    "imaging corners": (imaging, {"fwhm": (2.6, 2.7, 2.85), "corners": (0, 0.25, -0.15, 0.1, 0.2)}),
    "imaging all": (
        imaging,
        {"sky": (97, 100, 106), "fwhm": (2.6, 2.7, 2.8), "flux": (0.97, 1, 1.02), "shift": SHIFTS},
    ),
    "imaging both": (
        imaging,
        {
            "sky": (80, 104, 143), "slope": (10, -10, 0), "fwhm": (2.4, 2.6, 2.95), "flux": (0.9, 1, 1.08),
            "shift": SHIFTS,
        },
    ),
    # clouds take 0 to 38 % of the light of the stars in the mean, and up to 49 % in a part of the field
    "imaging clouds": (
        imaging, {"sky": (100, 106, 121, 103, 112), "clouds": (0, 0.15, 0.38, 0.07, 0.25)},
    ),
    "undersampled": (imaging, {"fwhm": (1.4,), "shift": SHIFTS}),
    "imaging moved": (imaging, {"shift": ((0, 0), (0.3, 0.2), (3.1, -1.4))}),
    "slit equal": (slit, {}),
    "slit lines": (slit, {"sky": SKIES}),
    "slit curved": (slit, {"sky": (1, 0.85, 1.7, 0.9, 1.1), "tilt": 30.0, "curve": 15.0}),
    # as real exposures: a wide slit, lines that brighten by up to 70 per cent and move; hot pixels that do not
    "slit wide lines": (slit, {"sky": (1, 0.85, 1.7, 0.9, 1.1), "width": 11}),
    "slit wavelength": (slit, {"sky": (1, 0.95, 1.1), "wave": (0, 0.1, -0.15)}),
    "hot pixels": (
        imaging,
        {"fwhm": (1.9, 2.0, 1.9), "flux": (1, 0.95, 0.86), "shift": ((0, 0), (0.1, -0.1), (1.4, -1.2)), "hot": 0.003},
    ),
    "slit all": (
        slit,
        {"sky": (1, 1.12, 0.9), "loss": (1, 0.93, 1.06), "fwhm": (3.6, 3.8, 4.1), "drift": (0.1, 0, -0.15)},
    ),
    "slit knots": (
        slit, {"sky": (1, 1.3, 2.0, 1.1, 1.6), "clouds": (0, 0.2, 0.4, 0.1, 0.3), "knots": 550},
    ),
    "slit telluric": (slit, {"airmass": (1.0, 1.25, 1.6, 1.1, 1.4)}),
    "fibres equal": (spectra, {"scene": "ifu"}),
    "fibres all": (spectra, {"scene": "ifu", **SPECTRA}),
    "echelle equal": (spectra, {"scene": "echelle"}),
    "echelle all": (spectra, {"scene": "echelle", **SPECTRA}),
    "stars seeing": (isolated, {"fwhm": (2.5, 2.8, 3.2)}),
    "stars jitter": (isolated, {"fwhm": (1.4,), "shift": SHIFTS}),
    "stars equal": (isolated, {}),
    "three stars": (isolated, {"fwhm": (2.5, 2.8, 3.2), "number": 3, "fluxes": (5.2, 5.5)}),
}  # fmt: skip


def night_of(scene, shape, n, seed, population="cosmic"):
    """Exposures of one of the `SCENES`, as a `Night`."""
    make, settings = SCENES[scene]
    return make(scene, shape, n, seed, population=population, **settings)
