"""Exposures as a night gives them, with their truth: sky, seeing, pointing and throughput change."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData
from scipy import ndimage, signal

from crstack.datasets import make_stack
from crstack.datasets.hits import make_hits

READNOISE = 4.0
RATE = 0.008  # of hit values
FINE = 3  # points per pixel and axis over which a profile is averaged


@dataclass(frozen=True)
class Night:
    """Exposures in electrons and what they hold.

    Attributes
    ----------
    name : str
        Of the scene.
    expected, hits : `~numpy.ndarray`
        (N, ny, nx) electrons.
    cube : `~numpy.ndarray`
        float32 (N, ny, nx), what the detector gives.
    sky : `~numpy.ndarray`
        (ny, nx) mean of the exposures without stars, traces and lines.
    stars : tuple
        Columns and rows of isolated stars, where there are any.
    """

    name: str
    expected: np.ndarray
    hits: np.ndarray
    cube: np.ndarray
    sky: np.ndarray
    stars: tuple = ()

    @property
    def exposures(self):
        """For `~crstack.CRStack`."""
        return [CCDData(plane, unit="electron") for plane in self.cube]

    @property
    def readnoise(self):
        """As a quantity."""
        return READNOISE * u.electron

    @property
    def sigma(self):
        """(N, ny, nx) noise of each value."""
        return np.sqrt(self.expected + READNOISE**2)

    @property
    def bright(self):
        """(ny, nx) more than ten sigma above the sky."""
        sky = self.sky + READNOISE**2
        return self.expected.mean(axis=0) - self.sky > 10 * np.sqrt(sky)


def _per_exposure(value, n):
    value = tuple(value)
    return [value[i % len(value)] for i in range(n)]


def _observe(name, expected, sky, rng, hits_of, stars=()):
    expected = np.asarray(expected, np.float32)
    shape = expected.shape[1:]
    rate, population = hits_of
    hits = np.stack([
        make_hits(shape, rate, rng, population) if rate else np.zeros(shape, np.float32) for _ in expected
    ])  # fmt: skip
    cube = rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape) + hits
    return Night(name, expected, hits, cube.astype(np.float32), np.asarray(sky, np.float32), stars)


def _stamps(shape, x, y, radius, profile):
    """Sum over sources k of ``profile(k, dx, dy)``, averaged over the pixels."""
    image = np.zeros(shape)
    steps = (np.arange(FINE) + 0.5) / FINE - 0.5
    for k, at in enumerate(zip(y, x, strict=True)):
        rows, columns = (np.arange(int(place) - radius, int(place) + radius + 1) for place in at)
        dy, dx = ((one[:, None] + steps).ravel() - place for one, place in zip((rows, columns), at, strict=True))
        values = profile(k, dx[None, :], dy[:, None])
        values = values.reshape(len(rows), FINE, len(columns), FINE).mean(axis=(1, 3))
        inside = [(one >= 0) & (one < length) for one, length in zip((rows, columns), shape, strict=True)]
        image[np.ix_(rows[inside[0]], columns[inside[1]])] += values[np.ix_(*inside)]
    return image


def _moffat(fwhm, flux):
    widths = np.broadcast_to(fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1), np.shape(flux))

    def profile(k, dx, dy):
        return 2 * flux[k] / (np.pi * widths[k] ** 2) / (1 + (dx**2 + dy**2) / widths[k] ** 2) ** 3

    return profile


def _gaussian(fwhm, flux):
    sigma2 = (fwhm / 2.3548) ** 2
    return lambda k, dx, dy: flux[k] / (2 * np.pi * sigma2) * np.exp(-(dx**2 + dy**2) / (2 * sigma2))


def imaging(
    name,
    shape,
    n,
    seed,
    *,
    sky=(100,),
    slope=(0,),
    fwhm=(2.7,),
    corners=(0,),
    flux=(1,),
    shift=((0, 0),),
    population="cosmic",
    hot=0,
):
    """Stars and galaxies, and a share of hot pixels; what differs cycles through the exposures.

    In the corners, the seeing is worse by a share ``corners``.
    """
    rng = np.random.default_rng([seed, 1])
    ny, nx = shape
    n_stars, n_galaxies = ny * nx // 2500, ny * nx // 15000
    x, y = rng.uniform(-10, nx + 10, n_stars), rng.uniform(-10, ny + 10, n_stars)
    # peaks at a seeing of 2.7
    flux_of = np.minimum(40 * (rng.pareto(0.65, n_stars) + 1), 5e4) * 11.0
    gx, gy = rng.uniform(0, nx, n_galaxies), rng.uniform(0, ny, n_galaxies)
    peak, scale = np.minimum(150 * (rng.pareto(1.2, n_galaxies) + 1), 6000), rng.uniform(1.5, 6, n_galaxies)
    flat, angle = rng.uniform(0.3, 1, n_galaxies), rng.uniform(0, np.pi, n_galaxies)

    def galaxies(seeing):
        def profile(k, dx, dy):
            along = dx * np.cos(angle[k]) + dy * np.sin(angle[k])
            across = (dy * np.cos(angle[k]) - dx * np.sin(angle[k])) / flat[k]
            # seen through the same seeing as the stars
            light = peak[k] * np.exp(-np.hypot(along, across) / scale[k])
            star = _moffat(seeing, np.ones(n_galaxies))(k, dx - np.median(dx), dy - np.median(dy))
            return signal.fftconvolve(light, star / star.sum(), mode="same")

        return profile

    expected, plain = [], []
    columns, rows = np.meshgrid(np.arange(nx) / nx - 0.5, np.arange(ny) / ny - 0.5)
    far, gfar = (((2 * one / nx - 1) ** 2 + (2 * other / ny - 1) ** 2) / 2 for one, other in ((x, y), (gx, gy)))
    settings = (sky, slope, fwhm, corners, flux, shift)
    for level, tilt, seeing, wider, factor, (dx, dy) in zip(*(_per_exposure(one, n) for one in settings), strict=True):
        scene = _stamps(shape, x + dx, y + dy, 25, _moffat(seeing * (1 + wider * far), flux_of))
        scene += _stamps(shape, gx + dx, gy + dy, 45, galaxies(seeing * (1 + wider * gfar)))
        plain.append(factor * (level + tilt * columns - 0.6 * tilt * rows))
        expected.append(factor * scene + plain[-1])
    if hot:
        # they belong to the detector: neither moved nor dimmed
        charge = np.where(rng.random(shape) < hot, 100 * (rng.pareto(1.0, shape) + 1), 0)
        expected = np.array(expected) + np.minimum(charge, 5e4)
    return _observe(name, expected, np.mean(plain, axis=0), rng, (RATE, population))


def isolated(
    name, shape, n, seed, *, fwhm=(2.8,), shift=((0, 0),), number=49, fluxes=(3.0, 5.5), sky=100.0, population="cosmic"
):
    """Stars far from each other, without hits."""
    rng = np.random.default_rng([seed, 2])
    side = int(np.ceil(np.sqrt(number)))
    y, x = ((index.ravel()[:number] + 0.5) / side for index in np.mgrid[:side, :side])
    x = x * shape[1] + rng.uniform(-2, 2, number)
    y = y * shape[0] + rng.uniform(-2, 2, number)
    flux = 10 ** rng.uniform(*fluxes, number)
    expected = [
        sky + _stamps(shape, x + dx, y + dy, 20, _gaussian(seeing, flux))
        for seeing, (dx, dy) in zip(_per_exposure(fwhm, n), _per_exposure(shift, n), strict=True)
    ]
    return _observe(name, expected, np.full(shape, sky), rng, (0, population), (x, y))


def slit(
    name,
    shape,
    n,
    seed,
    *,
    sky=(1,),
    loss=(1,),
    fwhm=(3.8,),
    drift=(0,),
    wave=(0,),
    width=0,
    population="cosmic",
    tilt=6.0,
    curve=0.5,
):
    """Tilted and curved sky lines and three traces along x.

    Along the slit, the lines move by ``tilt`` pixels, and at both ends by ``curve`` more. They are wide, and shift
    along the dispersion, if asked for.
    """
    rng = np.random.default_rng([seed, 3])
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx].astype(float)
    along = x - tilt * (y / ny - 0.5) - 4 * curve * (y / ny - 0.5) ** 2
    fine = np.arange(-30, nx + 30, 0.05)
    spectrum = np.full(len(fine), 20.0)
    n_lines = 40 * nx // 1000
    for centre, peak in zip(rng.uniform(-20, nx + 20, n_lines), 150 * rng.lognormal(0, 1.3, n_lines), strict=True):
        spectrum += min(peak, 1500) * np.exp(-0.5 * ((fine - centre) / 1.3) ** 2)
    if width:
        spectrum = ndimage.uniform_filter1d(spectrum, round(width / 0.05))
    continuum = np.ones(len(fine))
    for centre, depth in zip(rng.uniform(0, nx, nx // 40), rng.uniform(0.05, 0.4, nx // 40), strict=True):
        continuum -= depth * np.exp(-0.5 * ((fine - centre) / 1.8) ** 2)
    continuum = np.interp(along, fine, np.maximum(continuum, 0.2))
    traces = [(0.3, 1500.0), (0.52, 250.0), (0.76, 50.0)]
    expected = []
    settings = (sky, loss, fwhm, drift, wave)
    for factor, kept, seeing, moved, shift in zip(*(_per_exposure(one, n) for one in settings), strict=True):
        lines = np.interp(along - shift, fine, spectrum)
        image = factor * (lines - 20) + 20 * (1 + (factor - 1) / 2) + 2
        for k, (place, level) in enumerate(traces):
            centre = place * ny + 8 * (x / nx - 0.4) ** 2 + moved
            sigma = seeing / 2.3548
            # slit losses change slowly along the spectrum, and differ from trace to trace
            slow = 1 + (kept - 1) * (1 + 0.3 * k) * (1 + 0.5 * (x / nx - 0.5))
            image += slow * level * 3.8 / seeing * continuum * np.exp(-0.5 * ((y - centre) / sigma) ** 2)
        expected.append(image)
    return _observe(name, expected, np.full(shape, 22.0), rng, (RATE, population))


def spectra(name, shape, n, seed, *, scene, population="cosmic", **differences):
    """Fibres or echelle orders; what differs cycles through the exposures."""
    settings = {key: _per_exposure(value, n) if np.ndim(value) else value for key, value in differences.items()}
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
