"""Hot pixels, which belong to the detector: throughput, shift and seeing do not change them."""

from dataclasses import replace

import numpy as np

from crstack.equalize.fit.hot_beside_stars import hot_beside_stars
from crstack.equalize.terms.hot_pixels import hot_pixels, medians_around
from crstack.utils.medians import median_of_values
from crstack.utils.memory import filled_image
from crstack.utils.pixels import at_pixels
from crstack.utils.threads import map_threads, wide_bands

__all__ = ["MARGIN", "charges_of", "hot_in_all", "hot_pixels_at_rest", "leave_out_hot", "with_hot_pixels"]

#: rows beside a band on which its hot pixels depend
MARGIN = 4
#: least change (standard deviations) that the throughput would make in a hot pixel that is corrected
LEAST = 0.5
#: if the median exceeds the lowest value by more than this number of standard deviations, most exposures are hit
HIT = 5.0
#: least excess (standard deviations) of a hot pixel over the pixels around it in the lowest exposure
LEAST_LOW = 1.0
#: least excess of the mean of all exposures but the highest, in standard deviations of this mean: one may be hit
LEAST_OTHERS = 3.0
#: largest excess of the highest pixel beside a hot pixel: this share of the hot pixel plus this number of standard
#: deviations
LEAST_SPREAD, NOISE_BESIDE = 0.2, 2.5
#: standard deviation of a median over that of a mean
OF_MEDIAN = 1.25
#: of two hot pixels beside each other: least charge (standard deviations), and least share of it in every exposure
CLEAR_OF_TWO, LEAST_SHARE = 6.0, 0.6


def hot_pixels_at_rest(cube, variance_of):
    """Hot pixels, and their dark charge.

    Two hot pixels beside each other look like the two images of a faint star in exposures that are shifted by a pixel.
    Their charge is the same in every exposure, while a star is bright there in some exposures only.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.
    variance_of : callable
        Mean variance of the exposures at a signal (image).

    Returns
    -------
    rows, columns : `~numpy.ndarray` of int
        Places of the pixels that are hot in every exposure; hits are not.
    charges : `~numpy.ndarray`
        Electrons above the pixels around.
    """
    rows, columns, excess, sigma, alone = hot_in_all(cube, variance_of, shared=True)
    median = median_of_values(excess, axis=0)
    same = (median > CLEAR_OF_TWO * sigma) & (excess.min(axis=0) > LEAST_SHARE * median)
    used = alone | same
    return rows[used], columns[used], charges_of(excess[:, used], sigma[used])


def leave_out_hot(cube, steps, variance_of):
    """Replace hot pixels of exposures by the level around, in place, and return them.

    Parameters
    ----------
    cube, variance_of
        As for `hot_pixels_at_rest`.
    steps : sequence of tuple of int
        Shift (dx, dy) of each exposure in whole pixels. If some are shifted, hot pixels on the wings of stars are
        found too.

    Returns
    -------
    places : tuple of `~numpy.ndarray` of int
        Rows and columns of the pixels.
    charges : `~numpy.ndarray`
        Electrons above the level around.
    """
    *places, charges = hot_pixels_at_rest(cube, variance_of)
    for plane in cube:
        plane[*places] = medians_around(plane, *places)
    if not any(map(any, steps)):
        return tuple(places), charges
    *beside, more = hot_beside_stars(cube, steps, variance_of)
    cube[:, *beside] -= more
    return tuple(np.concatenate(pair) for pair in zip(places, beside, strict=True)), np.append(charges, more)


def charges_of(excess, sigma):
    """Charge (M,) of hot pixels from their excess (N, M) in the exposures, whose standard deviation is ``sigma``."""
    charges, low = median_of_values(excess, axis=0), excess.min(axis=0)
    # the lowest value, if most exposures are hit
    return np.where(charges - low > HIT * sigma, low, charges)


def hot_in_all(cube, variance_of, shared=False):
    """Pixels that are hot in every exposure.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.
    variance_of : callable
        Mean variance of the exposures at a signal (image).
    shared : bool, optional
        Whether pairs of hot pixels count too.

    Returns
    -------
    rows, columns : `~numpy.ndarray` of int
        Places of the M pixels.
    excess : `~numpy.ndarray`
        (N, M) electrons above the pixels around.
    sigma : `~numpy.ndarray`
        (M,) standard deviations of one exposure there.
    alone : `~numpy.ndarray` of bool
        (M,) whether no pixel beside is nearly as high.
    """
    lowest, median = cube.min(axis=0), median_of_values(cube, axis=0)
    sigma = np.sqrt(variance_of(lowest))
    # two images of a star are not sharp in the median
    noise = sigma * np.float32(OF_MEDIAN / np.sqrt(len(cube)))
    places = hot_pixels(median, noise, shared=shared)
    base = medians_around(median, *places)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(median, 1, mode="reflect"), (3, 3))[places]
    beside = np.partition(windows.reshape(-1, 9), -2)[:, -2] - base
    alone = beside < LEAST_SPREAD * (median[places] - base) + NOISE_BESIDE * noise[places]
    # each exposure over its own surroundings, because their levels may differ
    excess = np.array([one[places] - medians_around(one, *places) for one in cube])
    low, n_others = excess.min(axis=0), len(cube) - 1
    others = (excess.sum(axis=0) - excess.max(axis=0)) / n_others
    in_all = low > LEAST_LOW * sigma[places]
    in_all &= others > LEAST_OTHERS / np.sqrt(n_others) * sigma[places]
    rows, columns = (one[in_all] for one in places)
    return rows, columns, excess[:, in_all], sigma[rows, columns], alone[in_all]


def with_hot_pixels(found, levels, variance_of):
    """Correct the differences in hot pixels, whose dark charge does not change with the throughput.

    Parameters
    ----------
    found : Differences
        What was measured.
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).

    Returns
    -------
    differences : Differences
        The same object where there are no such pixels.

    Notes
    -----
    Exposure i is expected to hold a_i s + h in a hot pixel, where s is the scene and h the dark charge. The common
    image holds s + h, so that (1 - a_i) h is added.
    """
    if not found or all(np.ndim(one) == 0 and one == 1 for one in found.scales):
        return found
    bands = list(wide_bands(*levels.shape[1:], margin=MARGIN))
    parts = map_threads(lambda band: _hot_of_band(found, levels, variance_of, band), bands)
    rows, columns, charge = (np.concatenate(one) for one in zip(*parts, strict=True))
    if not len(rows):
        return found
    added = []
    for scale, one in zip(found.scales, found.added, strict=True):
        image = filled_image(levels.shape[1:], one)
        image[rows, columns] += (1 - at_pixels(np.asarray(scale), (rows, columns))) * charge
        added.append(image)
    return replace(found, added=tuple(added))


def _hot_of_band(found, levels, variance_of, band):
    """Rows, columns and charge (electrons) of the hot pixels of a band that a throughput would change."""
    _, wide, inner = band
    cube, box = np.array(levels[:, wide]), (wide, np.s_[:])
    sigma = np.sqrt(variance_of(cube.min(axis=0), box))
    (y, x), charge = leave_out_hot(cube, found.steps, lambda signal: variance_of(signal, box))
    where = y + wide.start, x
    change = np.max([np.abs(1 - at_pixels(np.asarray(scale), where)) * charge for scale in found.scales], axis=0)
    needed = (change > LEAST * sigma[y, x]) & (y >= inner.start) & (y < inner.stop)
    return where[0][needed], x[needed], charge[needed]
