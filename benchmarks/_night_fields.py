"""Images of a night: fields of stars and galaxies, and isolated stars."""

from dataclasses import dataclass

import numpy as np
from _night import each_exposure, observe
from scipy import signal

FINE = 3  # points per pixel and axis over which a profile is averaged
CLOUD_CHANGE = 0.3  # largest change over the field of the light that a cloud takes, relative to its mean


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


@dataclass(frozen=True)
class _Stars:
    """Stars of a field; places in pixels, fluxes in electrons."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray

    @classmethod
    def draw(cls, shape, rng):
        ny, nx = shape
        number = ny * nx // 2500
        x, y = rng.uniform(-10, nx + 10, number), rng.uniform(-10, ny + 10, number)
        # peaks at a seeing of 2.7
        return cls(x, y, np.minimum(40 * (rng.pareto(0.65, number) + 1), 5e4) * 11.0)

    def image(self, shape, seeing, wider, shift):
        widths = seeing * (1 + wider * _distance(shape, self.x, self.y))
        return _stamps(shape, self.x + shift[0], self.y + shift[1], 25, _moffat(widths, self.flux))


@dataclass(frozen=True)
class _Galaxies:
    """Galaxies of a field: places and scale lengths in pixels, peaks in electrons, axis ratios and position angles."""

    x: np.ndarray
    y: np.ndarray
    peak: np.ndarray
    scale: np.ndarray
    flat: np.ndarray
    angle: np.ndarray

    @classmethod
    def draw(cls, shape, rng):
        ny, nx = shape
        number = ny * nx // 15000
        x, y = rng.uniform(0, nx, number), rng.uniform(0, ny, number)
        peak, scale = np.minimum(150 * (rng.pareto(1.2, number) + 1), 6000), rng.uniform(1.5, 6, number)
        return cls(x, y, peak, scale, rng.uniform(0.3, 1, number), rng.uniform(0, np.pi, number))

    def image(self, shape, seeing, wider, shift):
        star_of = _moffat(seeing * (1 + wider * _distance(shape, self.x, self.y)), np.ones(len(self.x)))

        def profile(k, dx, dy):
            along = dx * np.cos(self.angle[k]) + dy * np.sin(self.angle[k])
            across = (dy * np.cos(self.angle[k]) - dx * np.sin(self.angle[k])) / self.flat[k]
            # seen through the same seeing as the stars
            light = self.peak[k] * np.exp(-np.hypot(along, across) / self.scale[k])
            star = star_of(k, dx - np.median(dx), dy - np.median(dy))
            return signal.fftconvolve(light, star / star.sum(), mode="same")

        return _stamps(shape, self.x + shift[0], self.y + shift[1], 45, profile)


def _distance(shape, x, y):
    """Squared distance from the centre of the image; 1 in the corners."""
    ny, nx = shape
    return ((2 * x / nx - 1) ** 2 + (2 * y / ny - 1) ** 2) / 2


def _through_cloud(shape, taken, rng):
    """Share of the light (ny, nx) that a cloud lets through; over the field it changes as one wave."""
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / max(shape) + phase)
    return 1 - taken * (1 + CLOUD_CHANGE * wave)


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
    clouds=(0,),
    shift=((0, 0),),
    population="cosmic",
    hot=0,
):
    """Stars and galaxies, and a share of hot pixels; what differs cycles through the exposures.

    In the corners, the seeing is worse by a share ``corners``. ``clouds`` is the mean share of the light of stars and
    galaxies that a cloud takes. It does not dim the sky.
    """
    rng, of_clouds = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 4])
    stars, galaxies = _Stars.draw(shape, rng), _Galaxies.draw(shape, rng)
    columns, rows = np.meshgrid(np.arange(shape[1]) / shape[1] - 0.5, np.arange(shape[0]) / shape[0] - 0.5)
    expected, plain = [], []
    for level, tilt, seeing, wider, factor, taken, moved in each_exposure(
        n, sky, slope, fwhm, corners, flux, clouds, shift
    ):
        scene = stars.image(shape, seeing, wider, moved) + galaxies.image(shape, seeing, wider, moved)
        scene *= _through_cloud(shape, taken, of_clouds)
        plain.append(factor * (level + tilt * columns - 0.6 * tilt * rows))
        expected.append(factor * scene + plain[-1])
    if hot:
        # they belong to the detector: neither moved nor dimmed
        charge = np.where(rng.random(shape) < hot, 100 * (rng.pareto(1.0, shape) + 1), 0)
        expected = np.array(expected) + np.minimum(charge, 5e4)
    return observe(name, expected, np.mean(plain, axis=0), rng, population=population)


def isolated(
    name, shape, n, seed, *, fwhm=(2.8,), shift=((0, 0),), number=49, fluxes=(3.0, 5.5), sky=100.0, population=None
):
    """Stars far from each other, without hits of any population."""
    rng = np.random.default_rng([seed, 2])
    side = int(np.ceil(np.sqrt(number)))
    y, x = ((index.ravel()[:number] + 0.5) / side for index in np.mgrid[:side, :side])
    x = x * shape[1] + rng.uniform(-2, 2, number)
    y = y * shape[0] + rng.uniform(-2, 2, number)
    flux = 10 ** rng.uniform(*fluxes, number)
    expected = [
        sky + _stamps(shape, x + dx, y + dy, 20, _gaussian(seeing, flux))
        for seeing, (dx, dy) in each_exposure(n, fwhm, shift)
    ]
    return observe(name, expected, np.full(shape, sky), rng, stars=(x, y))
