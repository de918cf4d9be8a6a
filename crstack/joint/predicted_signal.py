"""The signal of a pixel that the pixels around it predict."""

from itertools import product

import numpy as np

from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.threads import map_threads, slices

__all__ = ["clean_places", "places_around", "prediction_weights"]

#: values around a pixel that are this number of standard deviations above the median are hits
CLEAN = 3.0
#: distance along each axis of the furthest pixels around one
REACH = 2
#: steps to half of the pixels around one; the others are opposite
HALF = [step for step in product(range(-REACH, REACH + 1), repeat=2) if step < (0, 0)]
#: residuals beyond this number of standard deviations have less weight in the regression
LINEAR = 1.5
#: fits of the regression, each with the weights of the one before
ROUNDS = 6
#: least standard deviation of residuals, and least curvature of the sum of squares, for images without noise
LEAST_SCATTER, LEAST_CURVATURE = 1e-3, 1e-6
#: pixels of the regression whose arrays are used at once
PIXELS_AT_ONCE = 1 << 15


def clean_places(levels, sigma, coordinate, bad=None):
    """Means of the clean values of pixels, in a coordinate of even noise: float32 (ny, nx).

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) the signal that each value represents, electrons.
    sigma : `~numpy.ndarray`
        (ny, nx) noise of one value, electrons.
    coordinate : EvenNoise
        The coordinate.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) values without information. Pixels without any good value are NaN.
    """
    image = coordinate.place_of(_means_of_clean(levels, sigma)).astype(np.float32)
    if bad is not None:
        image[bad.all(axis=0)] = np.nan
    return image


def places_around(image, where, all_known=True):
    """What predicts the signal of pixels: float32 (K, M), in a coordinate of even noise.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx) the `clean_places` of a stack.
    where : tuple of `~numpy.ndarray`
        Rows and columns (M,) of the pixels, of a few rows.
    all_known : bool, optional
        False if the image may have NaN.

    Returns
    -------
    around : `~numpy.ndarray`
        1, the median of the eight nearest pixels, and the mean of each pair of opposite pixels at a distance of up to
        `REACH`. Beyond an edge, and where a pixel has no good value, the pixel on the other side counts twice.
    """
    rows, columns = where
    if not len(rows):
        return np.empty((2 + len(HALF), 0), np.float32)
    first = max(int(rows.min()) - REACH, 0)
    image = image[first : int(rows.max()) + REACH + 1]
    image = np.pad(image, REACH, mode="reflect")
    place = (rows - first + REACH) * image.shape[1] + columns + REACH
    steps = [dy * image.shape[1] + dx for dy, dx in HALF]
    pairs = np.stack([(image.take(place - step), image.take(place + step)) for step in steps])
    if not all_known:
        _fill_unknown(pairs, image)
    nearest = [pair for step, pair in zip(HALF, pairs, strict=True) if max(map(abs, step)) == 1]
    middle = median_of_values(np.concatenate(nearest), axis=0)
    return np.stack([np.ones(len(rows), np.float32), middle, *pairs.mean(axis=1)])


def _fill_unknown(pairs, image):
    """Replace NaN in the values ``pairs`` (K, 2, M) of opposite pixels of an image, in place.

    Where both are unknown, the median of the known pixels around is used, or that of the image if all are unknown.
    """
    some = np.flatnonzero(np.isnan(pairs).any(axis=(0, 1)))
    if not some.size:
        return
    part = pairs[..., some]
    part = np.where(np.isnan(part), part[:, ::-1], part)
    around = part.reshape(-1, some.size)
    known = ~np.isnan(around).all(axis=0)
    middle = np.empty(some.size, np.float32)
    middle[known] = np.nanmedian(around[:, known], axis=0)
    if not known.all():
        middle[~known] = np.nanmedian(image)
    pairs[..., some] = np.where(np.isnan(part), middle, part)


def _means_of_clean(values, noise):
    """Means of the values (N, ny, nx) that are not far above the median, or above the lower of two."""
    limit = (values.min(axis=0) if len(values) == 2 else median_of_values(values, axis=0)) + np.float32(CLEAN) * noise
    kept = values <= limit
    return np.where(kept, values, 0).sum(axis=0) / kept.sum(axis=0)


def prediction_weights(target, around):
    """Weights (K,) of ``around`` (K, M), see `places_around`, that predict the ``target`` (M,) best.

    They are those of a linear regression. Pixels far from the prediction have less weight (Huber 1964, Ann. Math.
    Stat. 35, 73), because a few bright stars must not determine it.
    """
    # without their mean, sums of squares keep the digits of small differences
    middle = around.mean(axis=1, dtype=float)
    middle[0] = 0
    residual, weight = np.empty(len(target)), np.ones(len(target))
    pieces = [(here, around[:, here] - middle[:, np.newaxis]) for here in slices(len(target), PIXELS_AT_ONCE)]

    def sums_of(piece):
        here, centred = piece
        weighted = centred * weight[here]
        return weighted @ centred.T, weighted @ target[here]

    def fill_residual(piece):
        here, centred = piece
        residual[here] = np.abs(target[here] - weights @ centred)

    for _ in range(ROUNDS):
        matrix, vector = (sum(one) for one in zip(*map_threads(sums_of, pieces), strict=True))
        weights = np.linalg.solve(matrix + LEAST_CURVATURE * np.eye(len(around)), vector)
        map_threads(fill_residual, pieces)
        limit = LINEAR * max(SIGMA_PER_MAD * float(median_of_values(residual)), LEAST_SCATTER)
        weight = limit / np.maximum(residual, limit)
    weights[0] -= weights @ middle
    return weights.astype(np.float32)
