"""Dark charge of hot pixels that differs between exposures, by temperature or exposure time."""

from dataclasses import dataclass, replace

import numpy as np

from crstack.equalize.fit.expected_exposures import copied_levels
from crstack.equalize.fit.hot import MARGIN, charges_of, hot_in_all
from crstack.utils.medians import weighted_median
from crstack.utils.memory import filled_image
from crstack.utils.threads import map_threads, wide_bands

__all__ = ["DarkOfHotPixels", "dark_of_hot_pixels"]

#: pixels in which the factors are measured, and pixels of a band; the factors are measured in some of the bands
SAMPLE, PIXELS = 1_200_000, 1 << 16
#: least charge (standard deviations) of a hot pixel that counts for the factors, and fewest such pixels
CLEAR, FEWEST = 8.0, 15
#: rounds of the fit, and largest share of the charge that hot pixels vary by themselves
ROUNDS, OWN = 4, 0.03
#: limit (standard deviations) of a residual, because of hits, and least decrease of chi squared
LIMIT, LEAST_GAIN = 4.0, 60.0
#: largest median deviation of the charges from those by the factors, as a fraction; that of coincident hits is larger
UNLIKE = 0.2
#: least decrease for each pixel that is compared
LEAST_MEAN_GAIN = 1.0


@dataclass(frozen=True, eq=False)
class DarkOfHotPixels:
    """Hot pixels whose dark charge differs between exposures by one factor each.

    Attributes
    ----------
    rows, columns : `~numpy.ndarray` of int
        (M,) places.
    charges : `~numpy.ndarray`
        (M,) mean dark charge of the exposures, electrons.
    factors : `~numpy.ndarray`
        (N,) charge of each exposure relative to the mean.
    """

    rows: np.ndarray
    columns: np.ndarray
    charges: np.ndarray
    factors: np.ndarray

    def removed(self, levels):
        """The exposures (N, ny, nx) with the mean dark charge in each; a copy."""
        levels = copied_levels(levels)
        for plane, factor in zip(levels, self.factors, strict=True):
            plane[self.rows, self.columns] -= np.float32(factor - 1) * self.charges
        return levels

    def added_to(self, found):
        """The measured `Differences`, with this one in addition."""
        added = []
        for one, factor in zip(found.added, self.factors, strict=True):
            image = filled_image(found.common.shape, one)
            image[self.rows, self.columns] += np.float32(factor - 1) * self.charges
            added.append(image)
        return replace(found, added=tuple(added), hot=tuple(self.factors.tolist()))


def dark_of_hot_pixels(levels, variance_of):
    """Measure the dark charge of the hot pixels of each exposure.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) exposures, electrons; a cube that is read by rows suffices.
    variance_of : callable
        Mean variance of the exposures at a signal, in a box of the image (slices).

    Returns
    -------
    dark : DarkOfHotPixels or None
        None if the exposures agree.

    Notes
    -----
    The dark current of all hot pixels changes by about the same factor with the temperature, and with the exposure
    time. The factor of an exposure is the weighted median of the ratios of its charges to those of all exposures, so
    that hits, and hot pixels that blink, do not change it. Factors are used if they decrease chi squared.
    """
    ny, nx = levels.shape[1:]
    bands = list(wide_bands(ny, nx, margin=MARGIN, pixels=PIXELS))
    step = max(ny * nx // SAMPLE, 1)
    some = bands[::step] if len(bands) > step else bands
    found = _hot_of(levels, variance_of, some)
    factors = _factors(*found[2:])
    if factors is None:
        return None
    if len(some) < len(bands):
        found = _hot_of(levels, variance_of, bands)
    rows, columns, excess, sigma, alone = found
    charges = charges_of(excess / factors[:, None], sigma)
    # one of two pixels beside each other may be the light of a star
    used = alone | (_gains(excess, charges, factors, sigma) > 0)
    return DarkOfHotPixels(rows[used], columns[used], charges[used].astype(np.float32), factors)


def _hot_of(levels, variance_of, bands):
    """Hot pixels of some bands, see `hot_in_all`."""

    def work(band):
        _, wide, inner = band
        box = wide, slice(None)
        y, x, excess, sigma, alone = hot_in_all(
            np.asarray(levels[:, wide]), lambda signal: variance_of(signal, box), shared=True
        )
        mine = (y >= inner.start) & (y < inner.stop)
        return y[mine] + wide.start, x[mine], excess[:, mine], sigma[mine], alone[mine]

    parts = map_threads(work, bands)
    found = [np.concatenate(one, axis=-1) for one in zip(*parts, strict=True)]
    order = np.lexsort(found[1::-1])
    return tuple(one[..., order] for one in found)


def _factors(excess, sigma, alone):
    """Dark charge of each exposure relative to the mean of all (N,); None if one factor for all is as good."""
    excess, sigma = excess[:, alone], sigma[alone]
    factors = np.ones(len(excess))
    for _ in range(ROUNDS):
        charges = _mean_charges(excess / factors[:, None], sigma)
        clear = charges > CLEAR * sigma
        if np.count_nonzero(clear) < FEWEST:
            return None
        weights = 1 / ((sigma[clear] / charges[clear]) ** 2 + OWN**2)
        factors = np.array([weighted_median(one[clear] / charges[clear], weights) for one in excess])
        if not (factors > 0).all():
            return None
        factors /= factors.mean()
    if np.median(np.abs(excess[:, clear] / factors[:, None] - charges[clear]) / charges[clear]) > UNLIKE:
        return None
    same = charges_of(excess, sigma)
    gain = _gains(excess, charges_of(excess / factors[:, None], sigma), factors, sigma, same)[clear]
    return factors if gain.sum() > LEAST_GAIN + LEAST_MEAN_GAIN * gain.size else None


def _mean_charges(excess, sigma):
    """Means (M,) of the charges (N, M) without hits; a median is one of the charges, so that its factor stays at 1."""
    middle = charges_of(excess, sigma)
    near = np.abs(excess - middle) <= LIMIT * np.hypot(sigma, OWN * middle)
    return np.where(near.any(axis=0), np.where(near, excess, 0).sum(axis=0) / np.maximum(near.sum(axis=0), 1), middle)


def _gains(excess, charges, factors, sigma, same=None):
    """Decrease of chi squared (M,) by factors of the exposures; ``same`` are the charges (M,) without factors."""
    same = charges_of(excess, sigma) if same is None else same
    error = np.hypot(sigma, OWN * charges)

    def chi_squared(expected):
        return np.minimum(((excess - expected) / error) ** 2, LIMIT**2).sum(axis=0)

    return chi_squared(same) - chi_squared(factors[:, None] * charges)
