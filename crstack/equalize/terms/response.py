"""Local response: a smooth map of the ratio of each exposure to the median.

One factor does not describe fibres or traces whose throughput changes with the seeing while the sky does not. The map
is smooth along the dispersion, and independent from row to row across it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

from crstack.equalize.terms.clean import median_of_scaled, neighbour_mean, reject_hits
from crstack.exposures import Exposures
from crstack.exposures.comparison.unused import check_values
from crstack.utils.threads import map_threads, wide_bands
from crstack.utils.validation import check_choice, check_number

__all__ = ["Response", "ResponseSettings", "estimate_response"]

#: limits of a response
LOWEST, HIGHEST = 0.2, 5.0
#: rounds of rejecting hits and measuring, at each length
ROUNDS = 2
#: least signal-to-noise ratio of a pixel of the first estimate
FIRST_GUESS = 1.0
#: fewest such pixels of a row in the first estimate
FEWEST = 20
#: the spread of the ratios must exceed that of noise by this many standard deviations
SIGNIFICANCE = 3.0
#: rows over which the spread is averaged, on either side
NEARBY_ROWS = 1


@dataclass(frozen=True)
class ResponseSettings:
    """Settings of the measurement of the local response.

    Parameters
    ----------
    axis : {"x", "y"}, optional
        Direction of the dispersion, along which the response is smooth.
    lengths : sequence of float, optional
        Lengths (pixels) of the cells in which it is measured one after the other, longest first; the last is the
        finest structure along the axis. The longest cell is always the whole image.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    axis: str = "x"
    lengths: tuple = (512, 128, 32)

    def __post_init__(self):
        check_choice("axis", self.axis, ("x", "y"))
        lengths = (self.lengths,) if np.ndim(self.lengths) == 0 else self.lengths
        lengths = tuple(check_number("lengths", length, minimum=8) for length in lengths)
        object.__setattr__(self, "lengths", tuple(sorted(lengths, reverse=True)))


@dataclass(frozen=True, eq=False, repr=False)
class Response:
    """Local response of the exposures.

    Attributes
    ----------
    maps : `~numpy.ndarray`
        float32 (N, ny, nx): signal of each exposure over that of the median exposure; 1 where the signal is too low
        for a measurement.
    settings : ResponseSettings or None
        Settings of the measurement; None for a given response.
    """

    maps: np.ndarray
    settings: ResponseSettings | None = None

    def __repr__(self):
        changed = np.mean(np.any(self.maps != 1, axis=0))
        low, high = np.percentile(self.maps, [0.1, 99.9])
        return f"<Response: {low:.3f} to {high:.3f}, differs from 1 in {100 * changed:.0f} % of the pixels>"


def estimate_response(
    exposures: Exposures,
    settings: ResponseSettings | None = None,
    *,
    factors: Sequence[float] | None = None,
    models: Sequence[np.ndarray] | None = None,
) -> Response:
    """Measure the local response of the exposures.

    Parameters
    ----------
    exposures : Exposures
        Three or more, bias subtracted.
    settings : ResponseSettings, optional
        Direction and lengths.
    factors : sequence of float, optional
        Flux factors that the exposures keep, and the response does not include.
    models : sequence of `~numpy.ndarray`, optional
        Expected image (ny, nx) of each exposure over its factor, where it is
        not the median: the common image, shifted.

    Returns
    -------
    response : Response
        A map (ny, nx) of each exposure, with a median of 1 over the exposures.

    Notes
    -----
    In cells of one row and a given length, exposure i has the weighted total T_i = sum(w x_i) over the pixels where
    all exposures agree within the noise, with the weights of `~crstack.equalize.estimate_flux_factors`. T_i over the
    mean M of the totals is 1 + d_i, where noise gives d_i the variance 1 / info, info = M**2 / sum(z**2 / var(z)). The
    first cells are as long as the image, later ones shorter. Each length measures the residual of the longer ones, and
    d_i is shrunk by t / (t + 1 / info). The spread t of true deviations comes from the cells of the row and the two
    beside it. It is 0 unless they exceed the scatter of noise by three standard deviations, so that faint rows keep a
    response of 1. At the end the maps are divided by their median over the exposures.

    Hits are rejected by comparison with the map of the longer cells, on which a hit has little effect. The shorter
    cells use only pixels that agree with it.
    """
    settings = settings or ResponseSettings()
    check_values(exposures, "the response")
    factors = np.ones(len(exposures), np.float32) if factors is None else np.asarray(factors, np.float32)
    if settings.axis == "y":
        exposures = exposures.transposed()
        models = None if models is None else [model.T for model in models]
    maps = np.ones(exposures.data.shape, dtype=np.float32)
    usable, nx = exposures.usable, exposures.shape[1]
    current = _first_guess(exposures, factors, usable)
    nearby = None if models is None else [neighbour_mean(model) for model in models]
    for length in (nx, *(length for length in settings.lengths if length < nx)):
        cells = _Cells(nx, max(round(nx / length), 1))
        for _ in range(ROUNDS):
            scales = [factor * one for factor, one in zip(factors, current, strict=True)]
            clean = reject_hits(exposures, usable, scales, models, nearby=nearby)
            gains = _shrunk_gains(exposures, clean, factors, maps, models, cells)
            current = _refined(maps, gains, cells)
        maps = current
    if settings.axis == "y":
        maps = np.ascontiguousarray(maps.transpose(0, 2, 1))
    return Response(maps, settings)


def _first_guess(exposures, factors, usable):
    """Median ratio (N, ny, nx) of each row to the median exposure, 1 where few pixels have signal."""
    common = median_of_scaled(exposures.data, factors)
    sure = usable & (common > FIRST_GUESS * np.sqrt(exposures.mean_variance(common)))
    enough = np.count_nonzero(sure, axis=1) >= FEWEST
    middle = np.maximum(np.count_nonzero(sure, axis=1) - 1, 0) // 2
    guess = np.ones((len(exposures), len(common), 1), dtype=np.float32)

    def work(item):
        i, (rows, _, _) = item
        ratio = np.full(common[rows].shape, np.inf, dtype=np.float32)
        np.divide(exposures.data[i, rows], factors[i] * common[rows], out=ratio, where=sure[rows])
        # excluded values are sorted to the end
        ratio.sort(axis=1)
        some = np.flatnonzero(enough[rows])
        guess[i, rows.start + some, 0] = ratio[some, middle[rows][some]]

    map_threads(work, product(range(len(factors)), wide_bands(*common.shape)))
    guess = np.clip(guess, LOWEST, HIGHEST)
    return np.broadcast_to(guess / np.median(guess, axis=0), exposures.data.shape)


def _refined(maps, gains, cells):
    """Maps times the residual response, over their median."""
    refined = np.empty_like(maps)

    def refine(band):
        rows = band[0]
        one = np.clip(maps[:, rows] * cells.interpolate(gains[:, rows]), LOWEST, HIGHEST)
        refined[:, rows] = one / median_of_scaled(one, np.ones(len(one)))

    map_threads(refine, wide_bands(*maps.shape[1:]))
    return refined


class _Cells:
    """Cells of one row and ``n`` equal parts of its ``size`` pixels."""

    def __init__(self, size, n):
        self.n = n
        self.edges = np.linspace(0, size, n + 1).round().astype(int)
        centres = (self.edges[1:] + self.edges[:-1] - 1) / 2
        self._place = np.interp(np.arange(size), centres, np.arange(n)).astype(np.float32)

    def sum(self, image):
        """Sums (ny, n) over the cells."""
        return np.add.reduceat(image, self.edges[:-1], axis=1, dtype=np.float64)

    def interpolate(self, values):
        """Values (..., n) at the centres of the cells as images (..., size), linear between."""
        low = np.minimum(self._place.astype(int), max(self.n - 2, 0))
        share = (self._place - low).astype(np.float32)
        values = values.astype(np.float32)
        high = np.minimum(low + 1, self.n - 1)
        return values[..., low] * (1 - share) + values[..., high] * share


def _shrunk_gains(exposures, clean, factors, maps, models, cells):
    """Residual (N, ny, n_cells) of the response after division by the factors and maps, shrunk to 1."""
    squared_noise, totals, expected = _sums_of_cells(exposures, clean, factors, maps, models, cells)
    signal = totals.mean(axis=0)
    if models is not None:
        expected = np.maximum(expected, 1e-30)
        totals, signal = totals / expected, expected.mean(axis=0)
    mean = totals.mean(axis=0)
    known = (squared_noise > 0) & (totals.min(axis=0) > 0)
    deviations = np.where(known, totals / np.where(known, mean, 1) - 1, 0)
    # not the sum of weights and signal, because without signal the weights themselves are noise
    info = np.where(known, signal**2 / np.where(known, squared_noise, 1), 0)
    spread = _spread(deviations, info)[:, None]
    return 1 + deviations * (spread * info / (1 + spread * info))


def _sums_of_cells(exposures, clean, factors, maps, models, cells):
    """Weighted sums (..., ny, n_cells) of the noise, the exposures over their scales and the models."""
    nearby = neighbour_mean(clean.common, clean.ok)

    def work(band):
        rows = band[0]
        near = np.maximum(nearby[rows], 0) * clean.ok[rows]
        weights = near / exposures.cutout((rows, slice(None))).mean_variance(near)
        totals = [
            cells.sum(weights * plane[rows] / (factor * one[rows]))
            for plane, factor, one in zip(exposures.data, factors, maps, strict=True)
        ]
        expected = [cells.sum(weights * model[rows]) for model in models or ()]
        return cells.sum(weights * near), np.array(totals), np.array(expected)

    sums = zip(*map_threads(work, wide_bands(*nearby.shape)), strict=True)
    return tuple(np.concatenate(one, axis=-2 if one[0].ndim > 1 else 0) for one in sums)


def _spread(deviations, info):
    """Variance (ny,) of the true deviations of a row; 0 where noise explains them."""
    n = len(deviations)
    squares = (deviations**2).sum(axis=0)
    # averaged over the row itself and those beside it
    chi2, degrees, total = (
        ndimage.uniform_filter1d(values.sum(axis=1), 2 * NEARBY_ROWS + 1, mode="nearest") * (2 * NEARBY_ROWS + 1)
        for values in (info * squares, (n - 1.0) * (info > 0), info)
    )
    excess = chi2 - degrees
    significant = excess > SIGNIFICANCE * np.sqrt(2 * degrees)
    return np.where(significant, excess / np.maximum((n - 1) * total, 1e-30), 0)
