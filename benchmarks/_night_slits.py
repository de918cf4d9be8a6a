"""Exposures of a long slit on a night: sky lines, traces, knots of emission and telluric bands."""

import numpy as np
from _night import each_exposure, observe
from scipy import ndimage

FINE = 0.05  # pixels between the points of a spectrum
SKY = 20.0  # continuum of the sky, electrons
LEVEL = 2.0  # what the sky does not change, electrons
#: place along the slit, as a share of it, and peak (electrons) of each trace
TRACES = ((0.3, 1500.0), (0.52, 250.0), (0.76, 50.0))
#: first and last column of each telluric band, as shares of the columns
BANDS = ((0.2, 0.35), (0.6, 0.75))


def _sky_lines(fine, nx, width, rng):
    """Spectrum of the sky, as wide as the slit if asked for."""
    number = 40 * nx // 1000
    centres, heights = rng.uniform(-20, nx + 20, number), 150 * rng.lognormal(0, 1.3, number)
    spectrum = np.full(len(fine), SKY)
    for at, height in zip(centres, heights, strict=True):
        spectrum += min(height, 1500) * np.exp(-0.5 * ((fine - at) / 1.3) ** 2)
    return ndimage.uniform_filter1d(spectrum, round(width / FINE)) if width else spectrum


def _continuum(fine, nx, rng):
    """Spectrum of the objects: a continuum with absorption lines."""
    number = nx // 40
    spectrum = np.ones(len(fine))
    for at, depth in zip(rng.uniform(0, nx, number), rng.uniform(0.05, 0.4, number), strict=True):
        spectrum -= depth * np.exp(-0.5 * ((fine - at) / 1.8) ** 2)
    return spectrum


def _telluric_depth(fine, nx, rng):
    """Optical depth at an airmass of 1: bands of narrow lines."""
    depth = np.zeros(len(fine))
    for first, last in BANDS:
        number = round(0.4 * (last - first) * nx)
        centres, depths = rng.uniform(first * nx, last * nx, number), rng.uniform(0.05, 0.6, number)
        for at, of_line in zip(centres, depths, strict=True):
            depth += of_line * np.exp(-0.5 * ((fine - at) / 1.3) ** 2)
    return depth


def _traces(place, y, continuum, kept, moved, seeing):
    """Image of the traces, at columns from 0 to 1."""
    image = np.zeros(y.shape)
    for k, (row, level) in enumerate(TRACES):
        centre = row * len(y) + 8 * (place - 0.4) ** 2 + moved
        # slit losses change slowly along the spectrum, and differ from trace to trace
        slow = 1 + (kept - 1) * (1 + 0.3 * k) * (1 + 0.5 * (place - 0.5))
        image += slow * level * 3.8 / seeing * continuum * np.exp(-0.5 * ((y - centre) / (seeing / 2.3548)) ** 2)
    return image


def _draw_knots(shape, number, rng):
    """Columns, rows and peaks (electrons) of knots: each region along the slit has five lines, of its own strengths."""
    ny, nx = shape
    lines, regions = rng.uniform(0, nx, 5), rng.uniform(0, ny, number // 5)
    speeds = rng.normal(0, 2, len(regions))
    columns = (lines + speeds[:, None]).ravel()
    return columns, np.repeat(regions, 5), rng.lognormal(5.0, 0.8, len(columns))


def _knots(along, y, drawn, moved, seeing):
    """Image of knots through the seeing, which is narrower along the dispersion."""
    image = np.zeros(along.shape)
    for column, row, peak in zip(*drawn, strict=True):
        near = slice(max(int(row + moved) - 15, 0), int(row + moved) + 16)
        profile = np.exp(-0.5 * ((y[near] - row - moved) / (seeing / 2.3548)) ** 2)
        image[near] += peak * 3.8 / seeing * profile * np.exp(-0.5 * ((along[near] - column) / 1.3) ** 2)
    return image


def slit(
    name,
    shape,
    n,
    seed,
    *,
    sky=(1,),
    loss=(1,),
    clouds=(0,),
    airmass=(0,),
    fwhm=(3.8,),
    drift=(0,),
    wave=(0,),
    width=0,
    knots=0,
    population="cosmic",
    tilt=6.0,
    curve=0.5,
):
    """Tilted and curved sky lines and three traces along x; what differs cycles through the exposures.

    Along the slit, the lines move by ``tilt`` pixels, and at both ends by ``curve`` more. They are wide, and shift
    along the dispersion, if asked for. ``loss`` is what the slit keeps of the traces. ``clouds`` is the share of the
    light of all objects that a cloud takes. Telluric bands absorb by the ``airmass``. ``knots`` of emission lie along
    the slit, as many per million pixels.
    """
    rng, of_object = np.random.default_rng([seed, 3]), np.random.default_rng([seed, 5])
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx].astype(float)
    along = x - tilt * (y / ny - 0.5) - 4 * curve * (y / ny - 0.5) ** 2
    fine = np.arange(-30, nx + 30, FINE)
    lines = _sky_lines(fine, nx, width, rng)
    continuum = np.interp(along, fine, np.maximum(_continuum(fine, nx, rng), 0.2))
    depth = np.interp(along, fine, _telluric_depth(fine, nx, of_object))
    drawn = _draw_knots(shape, round(knots * 1e-6 * ny * nx), of_object)
    expected = []
    for factor, kept, taken, air, seeing, moved, shift in each_exposure(
        n, sky, loss, clouds, airmass, fwhm, drift, wave
    ):
        image = factor * (np.interp(along - shift, fine, lines) - SKY) + SKY * (1 + (factor - 1) / 2) + LEVEL
        light = _traces(x / nx, y, continuum, kept, moved, seeing) + _knots(along, y, drawn, moved, seeing)
        expected.append(image + (1 - taken) * np.exp(-air * depth) * light)
    return observe(name, expected, np.full(shape, SKY + LEVEL), rng, population=population)
