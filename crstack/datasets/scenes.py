"""Noise-free scenes in electrons.

A scene is a function that draws its contents from ``rng`` and returns ``render(dx, dy, sky, fwhm)``: the image (ny,
nx) with the contents moved by (dx, dy) pixels, its sky multiplied by ``sky``, and its stars, traces or fibres ``fwhm``
pixels wide (their own width where it is None). It is evaluated, not interpolated from pixels, and extends `MARGIN`
pixels outside the frame. To add a scene, write such a function and add it to `SCENES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import astropy.units as u
import numpy as np
from astropy.wcs import WCS

__all__ = ["MARGIN", "SCENES", "Scene", "smooth_field"]

MARGIN = 30
"""Pixels outside the frame to which a scene extends."""

OVERSAMPLING = 20  # points per pixel of the tables of profiles and spectra
SIGMA_PER_FWHM = 1 / 2.3548
ORDER_REACH = 14  # pixels on either side of an echelle order in which it is evaluated


def ifu(shape, rng):
    """Fibres along x in bundles, with sky lines in slightly curved columns."""
    ny, nx = shape
    fibres = np.arange(-MARGIN, ny + MARGIN, 6.5)
    fibres = fibres + 5.0 * (np.arange(fibres.size) // 21) + rng.normal(0, 0.1, fibres.size)
    throughput = np.clip(rng.normal(1, 0.12, fibres.size), 0.4, 1.4)
    throughput[rng.random(fibres.size) < 0.01] = 0.03  # broken fibres
    source = throughput * rng.gamma(0.5, 2.0, fibres.size)
    lines = _sky_lines(nx, 45, 60.0, 1.1, rng) + 6.0
    continuum = _continuum(nx, 12.0, rng)
    bend, bow = rng.uniform(8, 16, 2) * rng.choice([-1, 1], 2)

    @cache
    def profiles(fwhm):
        # a fibre that is out of focus has the same flux
        return tuple(_gaussians(ny, fibres, one * (3.0 / fwhm), fwhm * SIGMA_PER_FWHM) for one in (throughput, source))

    def render(dx, dy, sky=1.0, fwhm=None):
        sky_profile, source_profile = profiles(fwhm or 3.0)
        x, y = _coordinates(shape, dx, dy)
        across = y - bend * (x / nx - 0.5) ** 2
        along = x - bow * (y / ny - 0.5) ** 2
        image = _look_up(sky_profile, across) * _look_up(sky * lines, along)
        image += _look_up(source_profile, across) * _look_up(continuum, along)
        return image + 3.0

    return render


def imaging(shape, rng):
    """Stars and galaxies on a bright sky with a weak gradient."""
    ny, nx = shape
    area = (ny + 2 * MARGIN) * (nx + 2 * MARGIN)
    seeing = rng.uniform(2.5, 3.0)
    star_x, star_y = _positions(max(area // 2500, 4), shape, rng)
    peak = np.minimum(40 * (rng.pareto(0.65, star_x.size) + 1), 5e4)
    galaxy_x, galaxy_y = _positions(max(area // 15000, 2), shape, rng)
    brightness = np.minimum(150 * (rng.pareto(1.2, galaxy_x.size) + 1), 6000)
    scale = rng.uniform(1.5, 6, galaxy_x.size)
    flattening = rng.uniform(0.3, 1, galaxy_x.size)
    angle = rng.uniform(0, np.pi, galaxy_x.size)
    tilt = rng.uniform(-6, 6, 2)

    def star(k, x, y, fwhm):
        width = fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1)  # of a Moffat profile of power 3
        return peak[k] * (seeing / fwhm) ** 2 / (1 + (x**2 + y**2) / width**2) ** 3

    def galaxy(k, x, y, fwhm):
        along = x * np.cos(angle[k]) + y * np.sin(angle[k])
        across = (y * np.cos(angle[k]) - x * np.sin(angle[k])) / flattening[k]
        # the seeing smooths the cusp of an exponential disc
        radius = np.sqrt(along**2 + across**2 + (fwhm / 2) ** 2)
        # the flux is that at the seeing of the scene
        flux = (scale[k] + seeing / 2) / (scale[k] + fwhm / 2) * np.exp((fwhm - seeing) / 2 / scale[k])
        return brightness[k] * flux * np.exp(-radius / scale[k])

    def render(dx, dy, sky=1.0, fwhm=None):
        fwhm = fwhm or seeing
        x, y = _coordinates(shape, dx, dy)
        image = sky * (100.0 + tilt[0] * (x / nx - 0.5) + tilt[1] * (y / ny - 0.5))
        image += _stamps(shape, star_x + dx, star_y + dy, 25, partial(star, fwhm=fwhm))
        return image + _stamps(shape, galaxy_x + dx, galaxy_y + dy, 45, partial(galaxy, fwhm=fwhm))

    return render


def slit(shape, rng):
    """Long slit: tilted sky lines along y and the curved traces of three sources along x."""
    ny, nx = shape
    lines = _sky_lines(nx, 40, 150.0, 1.3, rng) + 20.0
    slope = rng.uniform(4, 8) * rng.choice([-1, 1])
    bow = rng.uniform(1, 4) * rng.choice([-1, 1])
    bend = rng.uniform(5, 12) * rng.choice([-1, 1])
    centres = ny * (np.array([0.3, 0.52, 0.76]) + rng.uniform(-0.06, 0.06, 3))
    sigmas = rng.uniform(3.2, 4.5, 3) * SIGMA_PER_FWHM
    spectra = [_continuum(nx, level, rng) for level in (1500.0, 250.0, 50.0)]
    ends = np.array([0.03, 0.97]) * ny

    def render(dx, dy, sky=1.0, fwhm=None):
        x, y = _coordinates(shape, dx, dy)
        along = x - slope * (y / ny - 0.5) - bow * (y / ny - 0.5) ** 2
        light = _look_up(sky * lines, along)
        trace = bend * (x / nx - 0.4) ** 2
        for centre, own, spectrum in zip(centres, sigmas, spectra, strict=True):
            sigma = own if fwhm is None else fwhm * SIGMA_PER_FWHM
            profile = own / sigma * np.exp(-0.5 * ((y - centre - trace) / sigma) ** 2)
            light += profile * _look_up(spectrum, along)
        opening = 1 / (1 + np.exp(np.clip((ends[0] - y) / 0.7, -50, 50)))
        opening = opening / (1 + np.exp(np.clip((y - ends[1]) / 0.7, -50, 50)))
        return light * opening + 2.0

    return render


def echelle(shape, rng):
    """Curved orders of one star, with increasing distance along y, brightest in their middle, with sky lines."""
    ny, nx = shape
    spacing = 11.0 + 5.0 * np.arange(-MARGIN, ny + 2 * MARGIN, 8.0) / ny
    centres = np.cumsum(spacing) - 2 * MARGIN
    centres = centres[centres < ny + MARGIN]
    bend = rng.uniform(15, 30) * rng.choice([-1, 1])
    width = rng.uniform(2.6, 3.2)
    level = 400.0 * np.exp(0.6 * np.sin(np.arange(centres.size) / centres.size * np.pi))
    spectra = [_continuum(nx, one, rng) for one in level]
    lines = [_sky_lines(nx, 6, 40.0, 1.2, rng) + 4.0 for _ in centres]

    def render(dx, dy, sky=1.0, fwhm=None):
        fwhm = fwhm or width
        x, y = _coordinates(shape, dx, dy)
        curve = bend * (x / nx - 0.5) ** 2
        blaze = np.sinc(np.clip(x / nx - 0.5, -0.75, 0.75)) ** 2
        image = np.full(shape, 4.0)
        for centre, spectrum, line in zip(centres, spectra, lines, strict=True):
            first, last = centre + dy + curve.min() - ORDER_REACH, centre + dy + curve.max() + ORDER_REACH
            rows = slice(max(int(first), 0), max(int(last), 0))
            across = y[rows] - centre - curve
            profile = width / fwhm * np.exp(-0.5 * (across / fwhm / SIGMA_PER_FWHM) ** 2)
            # the sky fills the slit, which is nine pixels long
            opening = 1 / (1 + np.exp((np.abs(across) - 4.5) / 0.4))
            image[rows] += blaze * (profile * _look_up(spectrum, x) + sky * opening * _look_up(line, x))
        return image

    return render


def smooth_field(shape, lengths, rng):
    """Gaussian random image of mean 0 and standard deviation 1.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    lengths : tuple of float
        Pixels over which the image is smooth along y and x.
    rng : `~numpy.random.Generator`
        Source of the random numbers.
    """
    rows, columns = (_bumps(size, length) for size, length in zip(shape, lengths, strict=True))
    return rows @ rng.standard_normal((rows.shape[1], columns.shape[1])) @ columns.T


def _bumps(size, length):
    """Gaussians (size, n) centred every ``length`` pixels, their squares adding up to 1."""
    centres = np.arange(-3, size / length + 3) * length
    weights = np.exp(-0.5 * ((np.arange(size)[:, None] - centres) / length) ** 2)
    return weights / np.sqrt(np.sum(weights**2, axis=1, keepdims=True))


def _coordinates(shape, dx, dy):
    """Column x (1, nx) and row y (ny, 1) of the contents that fall on each pixel."""
    return np.arange(shape[1])[None, :] - float(dx), np.arange(shape[0])[:, None] - float(dy)


def _positions(n, shape, rng):
    return rng.uniform(-MARGIN, shape[1] + MARGIN, n), rng.uniform(-MARGIN, shape[0] + MARGIN, n)


def _grid(size):
    """Positions of the entries of a table for an axis of ``size`` pixels."""
    return np.arange(-MARGIN * OVERSAMPLING, (size + MARGIN) * OVERSAMPLING + 1) / OVERSAMPLING


def _look_up(table, position):
    """Values of a table at positions in pixels, linear between entries."""
    index = np.clip((position + MARGIN) * OVERSAMPLING, 0, table.size - 1.001)
    low = index.astype(np.intp)
    return table[low] + (index - low) * (table[low + 1] - table[low])


def _gaussians(size, centres, peaks, sigma):
    """Table of the sum of Gaussians of one width."""
    table = np.zeros(_grid(size).size)
    reach = int(6 * sigma * OVERSAMPLING)
    index = np.rint((centres + MARGIN) * OVERSAMPLING).astype(int)[:, None] + np.arange(-reach, reach + 1)
    distance = index / OVERSAMPLING - MARGIN - centres[:, None]
    values = peaks[:, None] * np.exp(-0.5 * (distance / sigma) ** 2)
    inside = (index >= 0) & (index < table.size)
    np.add.at(table, index[inside], values[inside])
    return table


def _sky_lines(size, n_per_thousand, median, sigma, rng):
    """Table of emission lines of very different strengths, the brightest ten times the median."""
    n = max(n_per_thousand * (size + 2 * MARGIN) // 1000, 3)
    peaks = np.minimum(median * rng.lognormal(0, 1.3, n), 10 * median)
    return _gaussians(size, rng.uniform(-MARGIN, size + MARGIN, n), peaks, sigma)


def _continuum(size, level, rng):
    """Table of a smooth spectrum with absorption lines."""
    position = _grid(size) / size
    smooth = 1 + 0.35 * np.sin(np.pi * rng.uniform(0.5, 1.5) * position + rng.uniform(0, 2 * np.pi))
    n = max(size // 40, 3)
    depths = rng.uniform(0.05, 0.4, n)
    lines = _gaussians(size, rng.uniform(0, size, n), depths, rng.uniform(1.3, 2.5))
    return level * smooth * np.exp(-lines)


def _stamps(shape, x, y, radius, profile):
    """Image of the sum of ``profile(k, x - x_k, y - y_k)``, each in a square around its centre."""
    offsets = np.arange(-radius, radius + 1)
    columns = np.rint(x).astype(int)[:, None, None] + offsets
    rows = np.rint(y).astype(int)[:, None, None] + offsets[:, None]
    inside = (columns >= 0) & (columns < shape[1]) & (rows >= 0) & (rows < shape[0])
    k = np.nonzero(inside)[0]
    columns, rows = (np.broadcast_to(axis, inside.shape)[inside] for axis in (columns, rows))
    values = profile(k, columns - x[k], rows - y[k])
    return np.bincount(rows * shape[1] + columns, values, minlength=shape[0] * shape[1]).reshape(shape)


def _spectral_wcs(shape):
    """World coordinates of a spectrum: wavelength along the rows."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["WAVE", "LINEAR"]
    wcs.wcs.cunit = ["Angstrom", ""]
    wcs.wcs.crpix = [1.0, 1.0]
    wcs.wcs.crval = [6400.0, 1.0]
    wcs.wcs.cdelt = [0.3, 1.0]
    wcs.wcs.set()
    return wcs


def _celestial_wcs(shape):
    """World coordinates of an image of the sky."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.crval = [150.1, 2.2]
    wcs.wcs.cdelt = (np.array([-0.25, 0.25]) * u.arcsec).to_value(u.deg)
    wcs.wcs.set()
    return wcs


@dataclass(frozen=True)
class Scene:
    """The function of a scene, and its properties.

    ``smoothness`` is the scale in pixels along y and x on which the response of the instrument changes.
    """

    build: Callable
    make_wcs: Callable
    smoothness: tuple
    target: str
    instrument: str


SCENES = {
    "ifu": Scene(ifu, _spectral_wcs, (3.0, 80.0), "simulated galaxy", "fibre IFU"),
    "imaging": Scene(imaging, _celestial_wcs, (80.0, 80.0), "simulated field", "imager"),
    "slit": Scene(slit, _spectral_wcs, (40.0, 80.0), "simulated star", "long slit"),
    "echelle": Scene(echelle, _spectral_wcs, (6.0, 80.0), "simulated star", "echelle spectrograph"),
}
"""The scenes by name."""
