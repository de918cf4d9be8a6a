"""Comparison of the scatter of unflagged values with the noise as stated: in the whole image, and in parts of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import astropy.units as u
import numpy as np

from crstack.exposures.cube import Exposures
from crstack.exposures.scatter.noise_sample import NoiseSample, cyclic_pairs, ratio_of_squares
from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["compare_noise_of_parts", "ratios_of_cells", "remedy_of_flat"]

#: number of cells along each axis
CELLS = 4
#: ratio of measured to stated noise of the image, below which the noise is overstated
OVERSTATED = 0.87
#: ratios of measured to stated noise of a cell above and below which there is a warning, and fewest such cells. A cell
#: averages: in a corner where it has 1.10, that of a flat goes up to 1.27
TOO_MUCH, TOO_LITTLE, FEWEST_CELLS = 1.1, 0.9, 2
#: fewest values of a cell, and least fraction of its pixels that show background
FEWEST_VALUES, MOST = 1000, 0.5
#: a pixel shows background if it is this number of standard deviations, or less, above the median of its cell
BACKGROUND = 3.0
#: error of the ratio of a cell with one value, and least significance of its difference from the other cells
ERROR, SIGNIFICANT = 1.5, 5.0
#: largest difference of a cell from one variance that all of them lack: in its standard errors, and relative to it
OF_CELL, ALIKE = 3.0, 0.3
#: least share of the values that are neither flagged nor bad; if it is less, the scatter of the others is not the noise
LEAST_LEFT = 0.8
#: least noise (electrons); below it, values are few whole numbers and do not scatter as normal values do
LEAST_NOISE = 1.5


def compare_noise_of_parts(
    exposures: Exposures, sample: Callable[[], NoiseSample], differences: Callable[[], Sequence[np.ndarray] | None]
) -> None:
    """Warn if the unflagged values scatter by less than is stated, or if parts of the image differ in this.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    sample : callable
        Gives a sample of the values that are neither flagged nor bad.
    differences : callable
        Gives the expected image of each exposure minus the common image, in the unit of the exposures; None if the
        exposures are equal. Called only where parts of the image seem to differ.

    Warns
    -----
    CRStackWarning
        With the ratio of measured to stated noise, the place, and a remedy.
    """
    if exposures.missing:
        return
    some = sample()
    sigma = float(np.sqrt(max(median_of_values(some.stated[0]), 0)))
    few = np.mean(some.valid) < LEAST_LEFT
    if few or sigma * float(np.median(exposures.noise.electrons_per_unit)) < LEAST_NOISE:
        return
    _warn_of_overstated(exposures, some, sigma)
    if not len(_odd_cells(*ratios_of_cells(some))):
        return
    # stars whose seeing differs scatter too
    known = differences()
    if known is not None:
        expected = np.stack([one[some.box[0]] if np.ndim(one) else np.full(1, one) for one in known])
        some = replace(some, values=some.values - expected, _ratios={})
    _warn_of_cells(exposures, some, *ratios_of_cells(some))


def _warn_of_overstated(exposures, sample, sigma):
    """Warn if all values scatter by less than is stated, unless they do so with the hits too, which has a warning."""
    ratios = sample.known_ratios()
    if not ratios or median_of_values(ratios) >= OVERSTATED:
        return
    with_hits = NoiseSample.of_exposures(exposures, exposures.bad).known_ratios()
    if not with_hits or median_of_values(with_hits) < OVERSTATED:
        return
    ratio = float(median_of_values(ratios))
    own = any(one is not None for one in exposures.variances)
    causes = "the uncertainties" if own else "gain (too low?), read noise (too high?) and bias (too low?)"
    unit = exposures.unit
    warn_user(
        f"the values that are not flagged scatter by {plain(ratio * sigma)} {unit} at a level of "
        f"{plain(sample.level)} {unit}, where the noise as stated is {plain(sigma)} {unit}: the noise is "
        f"overstated by a factor of {1 / ratio:.2f}, so faint hits are missed and the uncertainties of combined "
        f"images are too large. Check {causes}"
    )


def ratios_of_cells(sample: NoiseSample) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of measured to stated noise in each of 4 x 4 cells.

    Parameters
    ----------
    sample : `~crstack.exposures.scatter.noise_sample.NoiseSample`
        Some rows of the exposures.

    Returns
    -------
    ratios, errors : `~numpy.ndarray`
        (4, 4), median of the pairs of exposures, and its standard error. NaN where fewer than half of the pixels show
        background: those that are 3 standard deviations or less above the median of the cell.
    """
    pairs = cyclic_pairs(range(len(sample.values)))
    ratios, errors = np.full((2, CELLS, CELLS), np.nan)
    cells = [_edges(length) for length in sample.values.shape[1:]]
    for place in np.ndindex(CELLS, CELLS):
        rows, columns = (edges[k] for edges, k in zip(cells, place, strict=True))
        found, numbers = [], []
        part = sample.of_part(rows, columns)
        values = zip(part.own, part.stated, part.valid, strict=True)
        part = replace(part, valid=np.array([_background(*one) for one in values]))
        for i, j in pairs:
            squares, size = part.squares(i, j)
            if len(squares) >= max(FEWEST_VALUES, MOST * size):
                found.append(ratio_of_squares(squares))
                numbers.append(len(squares))
        if found:
            ratios[place] = median_of_values(found)
            errors[place] = ERROR / np.sqrt(median_of_values(numbers))
    return ratios, errors


def _edges(length):
    """Slices of the cells along an axis."""
    edges = np.linspace(0, length, CELLS + 1).round().astype(int).tolist()
    return [slice(first, last) for first, last in pairwise(edges)]


def _background(own, stated, valid):
    """Valid pixels of a cell that show background."""
    if not valid.any():
        return valid
    return valid & (own <= median_of_values(own[valid]) + BACKGROUND * np.sqrt(np.maximum(stated, 0)))


def _odd_cells(ratios, errors):
    """Places of the cells whose ratio is far from 1, and differs from that of the others; empty if they are few."""
    if not np.isfinite(ratios).any():
        return np.empty((0, 2), int)
    relative = ratios / np.nanmedian(ratios)
    above = (ratios > TOO_MUCH) & (relative > 1 + SIGNIFICANT * errors)
    below = (ratios < TOO_LITTLE) & (relative < 1 - SIGNIFICANT * errors)
    odd = np.argwhere(above | below)
    return odd if len(odd) >= FEWEST_CELLS else odd[:0]


def _too_much_level(exposures, sample, ratios, errors):
    """Level whose photons explain that all cells scatter by less than is stated; None if one level does not."""
    noise = exposures.noise
    if exposures.scales or np.ndim(noise.electrons_per_unit) or any(one is not None for one in exposures.variances):
        return None
    cells = [_edges(length) for length in sample.values.shape[1:]]
    stated = np.full(ratios.shape, np.nan)
    for place in np.argwhere(np.isfinite(ratios)):
        part = sample.of_part(*(edges[k] for edges, k in zip(cells, place, strict=True)))
        stated[tuple(place)] = median_of_values(part.stated[part.valid])
    known = np.isfinite(stated)
    lacking, error = ((stated * one)[known] for one in (1 - ratios**2, 2 * ratios * errors))
    mean, of_mean = np.average(lacking, weights=1 / error**2), 1 / np.sqrt(np.sum(1 / error**2))
    alike = np.abs(lacking - mean) < OF_CELL * error + ALIKE * abs(mean)
    if mean < SIGNIFICANT * of_mean or not alike.all():
        return None
    return float(mean * noise.electrons_per_unit)


def _warn_of_cells(exposures, sample, ratios, errors):
    """Warn of cells whose noise is not that as stated."""
    odd = _odd_cells(ratios, errors)
    if not len(odd):
        return
    places = [np.unravel_index(of(ratios), ratios.shape) for of in (np.nanargmax, np.nanargmin)]
    words = [f"{ratios[place]:.2f} times {_place(place, exposures.shape)}" for place in places]
    own = any(one is not None for one in exposures.variances)
    level = _too_much_level(exposures, sample, ratios, errors)
    if level is not None:
        warn_user(
            f"the background scatters by less than the noise as stated: by {' and by '.join(words)}. If "
            f"{plain(level)} {exposures.unit} of the level are no light, all parts agree: is a bias too low by about "
            f"this number, or still in the exposures? If the bias is right, is the read noise too high? Hits may be "
            "missed. Check bias and read noise"
        )
        return
    remedy = "Check the uncertainties there" if own else _remedy(exposures)
    warn_user(
        f"the noise as stated does not hold in all parts of the image: the background scatters by "
        f"{' and by '.join(words)} ({len(odd)} of {np.count_nonzero(np.isfinite(ratios))} parts differ). Where the "
        f"ratio is above 1, clean values may be flagged; below 1, hits may be missed. {remedy}"
    )


def _remedy(exposures):
    """Words on causes of a noise that differs between parts, and what to do; no image of the gain fits electrons."""
    if exposures.unit == u.electron:
        of_gain = "one read noise or one bias given for several amplifiers? If they are divided by a flat, "
    else:
        of_gain = (
            "one gain, read noise or bias given for several amplifiers? Give an image as gain= if the gain differs "
            "between amplifiers. If the exposures are divided by a flat, "
        )
    return (
        f"Are the exposures divided by a flat, or is {of_gain}{remedy_of_flat(exposures)}. Give an image as readnoise= "
        "if the read noise differs between amplifiers, and one as bias= if the level of dark parts does"
    )


def remedy_of_flat(exposures: Exposures) -> str:
    """What to give for exposures that are divided by a flat, without a full stop.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    """
    if exposures.unit == u.electron:
        return "give each an uncertainty that is computed before this division, and divided too"
    return "give an image as gain=: the gain times the flat, where the mean of the flat is 1"


def _place(place, shape):
    """Words on a cell (FITS: the first pixel is 1, 1)."""
    (y, x) = (_edges(length)[k] for length, k in zip(shape, place, strict=True))
    return f"at x = {x.start + 1} to {x.stop}, y = {y.start + 1} to {y.stop}"
