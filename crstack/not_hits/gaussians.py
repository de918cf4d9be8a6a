"""Gaussians fitted to many small images at once, by adaptive moments."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Gaussians", "fit_gaussians"]

#: iterations
ITERATIONS = 15
#: limits of the variance (square pixels) along an axis, and its initial value
LEAST, MOST, FIRST = 0.05, 16.0, 1.5
#: largest shift of the centre (pixels), and radius (pixels) within which image and model are compared
FARTHEST, RADIUS = 3.0, 4.5
#: largest correlation of both axes: a tilted Gaussian must not become a line
MOST_TILT = 0.95


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Elliptical Gaussians, arrays (M,) each.

    Attributes
    ----------
    x, y : `~numpy.ndarray`
        Centres, pixels from the middle of the image.
    amplitude : `~numpy.ndarray`
        Height, in the unit of the images.
    major, minor : `~numpy.ndarray`
        Standard deviations along the axes, pixels.
    misfit : `~numpy.ndarray`
        Sum of the squares of image minus model, relative to that of the image, without the part of the noise.
    """

    x: np.ndarray
    y: np.ndarray
    amplitude: np.ndarray
    major: np.ndarray
    minor: np.ndarray
    misfit: np.ndarray

    @property
    def flux(self):
        """Volume of each Gaussian."""
        return 2 * np.pi * self.amplitude * self.major * self.minor


def fit_gaussians(images, variance):
    """Fit an elliptical Gaussian to each image.

    Parameters
    ----------
    images : `~numpy.ndarray`
        (M, n, n) with the level subtracted; the peak near the middle.
    variance : `~numpy.ndarray`
        (M,) variance of the noise of a pixel.

    Returns
    -------
    gaussians : Gaussians

    Notes
    -----
    Moments are weighted by the Gaussian of the step before (Bernstein & Jarvis 2002, AJ 123, 583). When the steps have
    converged, the weighted second moments are half of those of the best Gaussian.
    """
    half = images.shape[1] // 2
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    zero = np.zeros(len(images))
    moments = _Moments(zero, zero, zero + FIRST, zero + FIRST, zero)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(ITERATIONS):
            moments = moments.of_light(images, rows, columns)
    _, _, weights = moments.weights(rows, columns)
    amplitude = (images * weights).sum(axis=(1, 2)) / (weights**2).sum(axis=(1, 2))
    misfit = _misfit(images, amplitude[:, None, None] * weights, variance, rows**2 + columns**2 <= RADIUS**2)
    return Gaussians(moments.x, moments.y, amplitude, *moments.axes(), misfit)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Centres (x, y) and second moments (xx, yy, xy) of Gaussians, arrays (M,) each."""

    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    yy: np.ndarray
    xy: np.ndarray

    def weights(self, rows, columns):
        """Distances of the pixels from the centres of the Gaussians, and the Gaussians, of height 1."""
        x, y, xx, yy, xy = (one[:, None, None] for one in (self.x, self.y, self.xx, self.yy, self.xy))
        dx, dy = columns - x, rows - y
        return dx, dy, np.exp(-0.5 * (yy * dx**2 - 2 * xy * dx * dy + xx * dy**2) / (xx * yy - xy**2))

    def of_light(self, images, rows, columns):
        """The moments of images (M, n, n), weighted by these Gaussians: the next step of the fit."""
        dx, dy, weights = self.weights(rows, columns)
        light = images * weights
        total = light.sum(axis=(1, 2))
        total = np.where(total > 0, total, np.nan)
        mx, my, mxx, myy, mxy = (
            np.nan_to_num((light * one).sum(axis=(1, 2)) / total) for one in (dx, dy, dx * dx, dy * dy, dx * dy)
        )
        x, y = (np.clip(place + 2 * move, -FARTHEST, FARTHEST) for place, move in ((self.x, mx), (self.y, my)))
        xx, yy = (np.clip(2 * one, LEAST, MOST) for one in (mxx - mx * mx, myy - my * my))
        limit = MOST_TILT * np.sqrt(xx * yy)
        return _Moments(x, y, xx, yy, np.clip(2 * (mxy - mx * my), -limit, limit))

    def axes(self):
        """Standard deviations along the major and the minor axis."""
        middle, apart = (self.xx + self.yy) / 2, np.hypot((self.xx - self.yy) / 2, self.xy)
        return np.sqrt(middle + apart), np.sqrt(np.maximum(middle - apart, 0))


def _misfit(images, models, variance, near):
    """Squared residuals of images (M, n, n) in some pixels over their squares, without the part of the noise.

    It is infinite for an image without values, as where the other exposures are bad: no Gaussian describes it.
    """
    power, left = ((one[:, near] ** 2).sum(axis=1) for one in (images, images - models))
    misfit = np.full(len(images), np.inf)
    np.divide(left - np.count_nonzero(near) * variance, power, out=misfit, where=power > 0)
    return misfit
