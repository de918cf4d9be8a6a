"""The angle by which the stars of an exposure are rotated against those of another one."""

import numpy as np
from scipy import ndimage

from crstack.exposures.comparison.displacement import highest_correlation
from crstack.utils.medians import median_of_values, reflected_median
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.pixels import middle_of

__all__ = ["rotation", "rotations"]

#: largest side (pixels) of the central part of an image in which stars are searched
MIDDLE = 2048
#: largest and least number of stars, and their least peak in standard deviations
MOST, FEWEST, CLEAR = 60, 8, 10.0
#: radius (pixels) in which a star is the brightest, and of the box of its centroid
APART, BOX = 5, 2
#: least distance (pixels) of two stars, and largest difference of it between two exposures
FAR, ALIKE = 40.0, 0.7
#: width (degrees) of the bins of angles
BIN = 0.5
#: pairs in the fullest bin: least number, least multiple of those expected by chance, and least share of all pairs
PAIRS, TIMES, SHARE = 12, 4.0, 0.04
#: least angle in its standard errors, and in degrees: bright pixels along traces give smaller ones by chance
SIGNIFICANT, LEAST = 5.0, 0.4
#: least increase of the correlation by the rotation, as a factor
BETTER = 1.02


def rotation(image, other):
    """Angle by which the stars of an image are rotated against those of another image.

    Parameters
    ----------
    image, other : `~numpy.ndarray`
        Images (ny, nx) of one shape; bad values are 0.

    Returns
    -------
    angle : float or None
        In degrees, positive from x to y. None if there is no significant angle, or if too few stars are common.

    Notes
    -----
    A rotation turns the line between any two stars by one angle, whatever the shift, and keeps its length. Lines of
    equal length in both images have this angle if they belong to the same stars, and any angle if not.
    """
    first, second = (_stars(one) for one in (other, image))
    if min(len(first), len(second)) < FEWEST:
        return None
    lengths, angles = zip(*(_lines(one) for one in (first, second)), strict=True)
    order = np.argsort(lengths[1])
    ends = np.searchsorted(lengths[1][order], [lengths[0] - ALIKE, lengths[0] + ALIKE])
    turns = [angles[1][order[start:end]] - angle for angle, start, end in zip(angles[0], *ends, strict=True)]
    # a line has no direction
    found = (np.concatenate(turns) + 90) % 180 - 90
    edges = np.arange(-90 - BIN / 2, 90 + BIN, BIN)
    number = np.histogram(found, edges)[0]
    # an angle at the edge of two bins
    both = number + np.roll(number, -1)
    k = int(np.argmax(both))
    least = max(PAIRS, TIMES * 2 * len(found) / len(number), SHARE * min(map(len, lengths)))
    if both[k] < least:
        return None
    near = (found - edges[k] - BIN + 90) % 180 - 90
    near = near[np.abs(near) < BIN]
    angle = float(median_of_values(near))
    # pairs of one star do not count as independent
    error = SIGMA_PER_MAD * float(median_of_values(np.abs(near - angle))) / np.sqrt(len(near) / 4)
    angle += edges[k] + BIN
    angle = (angle + 90) % 180 - 90
    if abs(angle) <= max(SIGNIFICANT * error, LEAST):
        return None
    return angle if _agrees_turned(image, other, angle) else None


def _agrees_turned(image, other, angle):
    """Whether an image correlates better with another one after a rotation by minus the angle.

    The brightest pixels along traces may have lines of equal length at one angle by chance.
    """
    around = np.float32(np.median(image[::3, ::3]))
    turned = ndimage.rotate(image, angle, reshape=False, order=1, cval=around)
    return highest_correlation(turned, other) > BETTER * highest_correlation(image, other)


def rotations(exposures):
    """Words on exposures that are rotated, for a message.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures. All are compared with the first.

    Returns
    -------
    words : str
        Names and angles; "" if no angle is significant.
    """
    angles = {i: rotation(exposures.data[i], exposures.data[0]) for i in range(1, len(exposures))}
    found = [f"{exposures.names[i]} by {angle:+.3g} degrees" for i, angle in angles.items() if angle is not None]
    return f"{', '.join(found)} against {exposures.names[0]}" if found else ""


def _stars(image):
    """Places (x, y) of the brightest stars, without hits and hot pixels."""
    image = ndimage.gaussian_filter(reflected_median(image[middle_of(image.shape, MIDDLE)]).astype(np.float32), 1)
    low, middle = np.percentile(image[::3, ::3], [16, 50])
    above = image - np.float32(middle)
    tops = (ndimage.maximum_filter(image, 2 * APART + 1) == image) & (above > CLEAR * (middle - low))
    tops[:BOX] = tops[-BOX:] = tops[:, :BOX] = tops[:, -BOX:] = False
    y, x = np.nonzero(tops)
    order = np.argsort(above[y, x])[::-1][:MOST]
    steps = np.arange(-BOX, BOX + 1)
    boxes = np.maximum(above[y[order, None, None] + steps[:, None], x[order, None, None] + steps], 0)
    total = boxes.sum(axis=(1, 2))
    return np.stack(
        [x[order] + (boxes.sum(axis=1) @ steps) / total, y[order] + (boxes.sum(axis=2) @ steps) / total], axis=1
    )


def _lines(stars):
    """Lengths and angles (degrees) of the lines between any two stars."""
    one, two = np.triu_indices(len(stars), 1)
    dx, dy = (stars[two] - stars[one]).T
    length = np.hypot(dx, dy)
    return length[length > FAR], np.degrees(np.arctan2(dy, dx))[length > FAR]
