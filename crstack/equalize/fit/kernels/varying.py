"""Seeing and shift that change over the image: stars in its corners look unlike those in its centre.

Alard (2000, A&AS 144, 363) lets the kernel between two images change over them: each of its coefficients is a
polynomial of the position.
"""

from itertools import product

import numpy as np

from crstack.equalize.fit.kernels.kernel_terms import DERIVATIVE, SIZE
from crstack.utils.filters import convolved

__all__ = ["PARTS", "POWERS", "corners_less_centre", "kernels_of", "polynomials", "varying_change", "varying_rows"]

#: mean of the square of a position from -1 to 1
MEAN_SQUARE = 1 / 3
#: number of polynomials of the position: x, y, x squared, x y, y squared
POWERS = 5


def _parts():
    """(PARTS, SIZE, SIZE) parts of a kernel that change over the image: shifts, and changes of the seeing."""
    middle = SIZE // 2
    found = np.zeros((7, SIZE, SIZE))
    for k, part in enumerate(DERIVATIVE, start=1):
        found[0, middle, [middle + k, middle - k]] = part, -part
        found[1, [middle + k, middle - k], middle] = part, -part
    # second differences over one and two pixels along x and y, and along the diagonals
    for number, (dy, dx) in enumerate(((0, 1), (1, 0), (0, 2), (2, 0)), start=2):
        found[number, middle + dy, middle + dx] = found[number, middle - dy, middle - dx] = 0.5
        found[number, middle, middle] = -1
    for sign in (-1, 1):
        found[6, middle + sign, middle + sign] = 0.25
        found[6, middle + sign, middle - sign] = -0.25
    return found


#: kernels of the parts
KERNELS = _parts()
#: number of parts of a kernel that change over the image
PARTS = len(KERNELS)


def polynomials(x, y):
    """Polynomials of the position (x, y), from -1 to 1; their mean over the image is 0."""
    return x, y, x**2 - MEAN_SQUARE, x * y, y**2 - MEAN_SQUARE


def kernels_of(coefficients):
    """Kernels float32 (POWERS, SIZE, SIZE), one for each of the `polynomials`, of coefficients (PARTS, POWERS)."""
    return np.einsum("kp,kab->pab", coefficients, KERNELS).astype(np.float32)


def varying_rows(surroundings, positions):
    """Effect of each part of a kernel times each polynomial of the position.

    Parameters
    ----------
    surroundings : `~numpy.ndarray`
        (SIZE * SIZE, M) values of an image at the steps of a kernel around M pixels.
    positions : tuple of `~numpy.ndarray`
        (x, y) of the pixels, from -1 to 1 over the image.

    Returns
    -------
    rows : `~numpy.ndarray`
        (PARTS * POWERS, M).
    """
    effects = KERNELS.reshape(PARTS, -1) @ surroundings
    return np.concatenate([[effect * one for one in polynomials(*positions)] for effect in effects])


def varying_change(scene, noise, coefficients, positions):
    """What a kernel that changes over the image changes in it.

    Parameters
    ----------
    scene, noise : `~numpy.ndarray`
        (ny, nx) image, and its variance.
    coefficients : `~numpy.ndarray`
        (PARTS, POWERS) of each part of the kernel and each polynomial of the position.
    positions : tuple of `~numpy.ndarray`
        (nx,) x and (ny, 1) y of the pixels, from -1 to 1 over the whole image.

    Returns
    -------
    change, variance : `~numpy.ndarray`
        float32 (ny, nx), and its variance by the noise of the image.
    """
    powers, kernels = polynomials(*positions), kernels_of(coefficients)
    change, variance = np.zeros_like(scene), np.zeros_like(scene)
    for one, kernel in zip(powers, kernels, strict=True):
        change += one * convolved(scene, kernel)
    # the sum of the squares of the kernel in each pixel
    for (one, kernel), (other, another) in product(zip(powers, kernels, strict=True), repeat=2):
        variance += one * other * np.float32((kernel * another).sum())
    return change, variance * noise


def corners_less_centre(coefficients):
    """How the kernel of the corner that differs most from the centre of the image differs from it there.

    Parameters
    ----------
    coefficients : `~numpy.ndarray`
        (PARTS, POWERS) of one exposure.

    Returns
    -------
    shift, moment : float
        The largest shift along an axis, pixels, and the change of the second moment (mean of both axes), square pixels.
    """
    step = np.arange(SIZE) - SIZE // 2
    moments = np.stack([KERNELS @ step @ np.ones(SIZE), np.ones(SIZE) @ KERNELS @ step, KERNELS.sum(axis=1) @ step**2])
    moments[2] = (moments[2] + KERNELS.sum(axis=2) @ step**2) / 2
    centre = np.array(polynomials(0, 0))
    corners = [np.array(polynomials(x, y)) - centre for x in (-1, 1) for y in (-1, 1)]
    dx, dy, second = moments @ coefficients @ np.array(corners).T
    return float(np.abs([dx, dy]).max()), float(second[np.argmax(np.abs(second))])
