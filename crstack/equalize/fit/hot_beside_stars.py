"""Hot pixels on the wings of stars, which exposures with another shift show away from the star."""

import numpy as np

from crstack.utils.medians import median_of_values

__all__ = ["hot_beside_stars"]

#: least charge of such a pixel, in standard deviations of one exposure
LEAST_CHARGE = 6.0
#: in one of the positions, the means of opposite neighbours differ by at most this share of the charge; those around
#: the peak of a star differ by more
LEAST_SPREAD = 0.2
#: least share of the charge in every exposure, and largest share in a position; the image of a star does not stay in
#: its pixel
LEAST_SHARE, LARGEST_SHARE = 0.5, 1.6
#: steps from a pixel to one of each pair of opposite neighbours
PAIRS = ((0, 1), (1, -1), (1, 0), (1, 1))


def hot_beside_stars(cube, steps, variance_of):
    """Hot pixels that are sharper than their surroundings in one position of the scene, and as bright in the others.

    Beside a star, a pixel next to a hot one may be brighter, and the level around changes within a pixel. The mean of
    two opposite neighbours does not depend on the gradient. The level around is the median of the four means.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.
    steps : sequence of tuple of int
        Shift (dx, dy) of each exposure in whole pixels.
    variance_of : callable
        Mean variance of the exposures at a signal (image).

    Returns
    -------
    rows, columns : `~numpy.ndarray` of int
        Places of the pixels; none at the edges.
    charges : `~numpy.ndarray`
        Electrons above the level around.
    """
    median = median_of_values(cube, axis=0)
    sigma = np.sqrt(variance_of(median))
    inner = np.s_[1:-1, 1:-1]
    # of two exposures, the median has half of a charge that is in one of them
    likely = median[inner] - _highest_mean(median) > (1 - LEAST_SPREAD) * LEAST_SHARE * LEAST_CHARGE * sigma[inner]
    places = tuple(index + 1 for index in np.nonzero(likely))
    sigma = sigma[places]
    excess = np.array([_excess(one, places)[0] for one in cube])
    charges, largest = np.full(len(sigma), np.inf, np.float32), np.zeros(len(sigma), np.float32)
    for step in sorted(set(steps)):
        alike = [plane for plane, own in zip(cube, steps, strict=True) if own == step]
        charge, spread = _excess(alike[0] if len(alike) == 1 else median_of_values(np.stack(alike), axis=0), places)
        sharp = (charge > LEAST_CHARGE * sigma) & (spread < LEAST_SPREAD * charge)
        charges[sharp] = np.minimum(charges, charge)[sharp]
        largest = np.maximum(largest, charge)
    hot = np.isfinite(charges) & (excess.min(axis=0) > LEAST_SHARE * charges) & (largest < LARGEST_SHARE * charges)
    return places[0][hot], places[1][hot], charges[hot]


def _highest_mean(image):
    """Highest mean of two opposite neighbours of each pixel but those at the edges."""
    ny, nx = image.shape

    def moved(dy, dx):
        return image[1 + dy : ny - 1 + dy, 1 + dx : nx - 1 + dx]

    highest = moved(*PAIRS[0]) + moved(-PAIRS[0][0], -PAIRS[0][1])
    for dy, dx in PAIRS[1:]:
        np.maximum(highest, moved(dy, dx) + moved(-dy, -dx), out=highest)
    return highest / 2


def _excess(image, places):
    """Excess (M,) of some pixels over the level around, and the range of the means of their opposite neighbours."""
    y, x = places
    means = np.sort([(image[y + dy, x + dx] + image[y - dy, x - dx]) / 2 for dy, dx in PAIRS], axis=0)
    level = (means[1] + means[2]) / 2
    return image[places] - level, means[3] - means[0]
