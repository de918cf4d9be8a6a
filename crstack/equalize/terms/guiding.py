"""Exposures whose stars are wider than those of the others, or trailed, by the measured differences."""

import numpy as np

__all__ = ["trailed", "widened"]

#: least length of a trail (pixels), and least difference of the widths along both axes in standard errors
LENGTH, SIGNIFICANT = 2.0, 5.0
#: the moments along both axes of a round star may differ by this share of their sum
SHARE = 0.15
#: two exposures have another seeing if the moments along the narrow axis differ by this share of those of the trail
OTHER_SEEING = 0.2


def widened(differences, least):
    """Exposures whose stars are much wider in all directions than those of the sharpest exposure.

    Parameters
    ----------
    differences : Differences
        As measured.
    least : float
        Least difference of the second moments along the narrow axis, square pixels.

    Returns
    -------
    found : list of (int, float)
        Exposure, from 0, and that difference.
    """
    widths = np.array(differences.widths, dtype=float)
    xx, yy, xy = (widths - widths[np.argmin(widths[:, 0] + widths[:, 1])]).T
    narrow = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    return [(int(i), float(narrow[i])) for i in np.flatnonzero(narrow > least)]


def trailed(differences):
    """Exposures in which stars are longer in one direction than in the others.

    Parameters
    ----------
    differences : Differences
        As measured.

    Returns
    -------
    found : list of (int, float, float)
        Exposure, from 0; length of a uniform trail in pixels; its angle from the x axis in degrees, 0 to 180.

    Notes
    -----
    The second moments of a star are compared with the shape in most exposures, which is the median of theirs. Seeing
    adds the same to both axes. A uniform trail of length L adds L^2 / 12 to one axis. A shift of undersampled stars may
    add up to its square. This much is subtracted, and also a share of what the seeing adds. The moment of the product
    of x and y needs stars, because traces and lines do not measure it. If its error is larger than those of the widths
    along the axes, there are too few stars, and nothing is found.

    Two exposures are compared with each other. Where one is wider along both axes, and more so along one of them, it
    may be trailed along this axis in a worse seeing, or the other one may be trailed across it. Both are returned.
    """
    errors = differences.kernel_errors[:, 3:]
    if not (errors[:, 2] <= errors[:, :2].min(axis=1)).all() or not (errors > 0).all():
        return []
    widths = np.array(differences.widths, dtype=float)
    sharpest = np.argmin(widths[:, 0] + widths[:, 1])
    sums, *shapes = _moments(widths - widths[sharpest])
    rests = np.array(differences.shifts, dtype=float) - np.array(differences.steps)
    of_most = (lambda values: values[sharpest]) if len(widths) == 2 else (lambda values: np.median(values, axis=0))
    shapes, rests = np.transpose(shapes), rests - of_most(rests)
    shapes = shapes - of_most(shapes)
    allowed = np.sum(rests**2, axis=1) + SHARE * np.maximum(np.maximum(sums, of_most(sums)), 0)
    error = SIGNIFICANT * np.hypot(*errors[:, :2].T)
    apart = np.hypot(*shapes.T)
    trails = np.flatnonzero((apart - allowed >= LENGTH**2 / 12) & (apart > error))
    found = [(int(i), *_trail(*shapes[i])) for i in trails]
    if len(widths) == 2 and found:
        (i, length, angle), other = found[0], int(sharpest)
        if abs(sums[i] - apart[i]) / 2 > max(OTHER_SEEING * apart[i], error[i]):
            found.append((other, length, (angle + 90) % 180))
    return sorted(found)


def _moments(widths):
    """Sum, difference, and twice the product, of second moments (N, 3) of x, y and their product."""
    xx, yy, xy = widths.T
    return xx + yy, xx - yy, 2 * xy


def _trail(difference, product):
    """Length (pixels) and angle (degrees) of a uniform trail, from what it adds to `_moments`."""
    angle = np.degrees(np.arctan2(product, difference)) / 2
    return float(np.sqrt(12 * np.hypot(difference, product))), float(np.round(angle, 1) % 180)
