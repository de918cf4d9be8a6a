"""Error of the expected exposures on structures, as parts of the signal, its gradient, its curvature and its change."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.equalize.variance.deviations import TAIL, mean_square, squares_of_both, tail_of_noise
from crstack.utils.filters import mean_around
from crstack.utils.pixels import dilate

__all__ = ["MARGIN", "ModelError", "features_of", "fit_model_error", "places_to_fit"]

#: window (pixels) whose lowest value is the level below a structure
AROUND = 11
#: rows beside a band that its error depends on
MARGIN = AROUND // 2 + 2
#: least excess of a structure over that level, in standard deviations of the common image
SURE = 4.0
#: a squared deviation counts up to this multiple of the expected one; the second number is for two exposures
MOST, MOST_OF_TWO = 9.0, 4.0
#: rounds of the fit, and share of the sum of the features from which it starts
ROUNDS, FIRST_SHARE = 8, 0.05
#: most and fewest pixels of a fit, and least squared contrast (variances) of a pixel
PIXELS, FEWEST, CLEAR = 60_000, 60, 36.0
#: a part begins to count at the first number of standard errors, see `_shrunken`. The deviations exclude a part that is
#: larger by the second number. The third is the variance of a squared deviation over the square of the variance
LEAST_SIGNIFICANT, EXCLUDED, SPREAD = 4.0, 5.0, 2.0
#: variance of the squared deviation of a lowest value over the square of the variance
SPREAD_OF_LOW = 3.0
#: limits of the mean squared deviation of flat places over that of noise, because hits raise it; for two exposures too
OF_FLAT, OF_FLAT_OF_TWO = (1.0, 1.15), (0.92, 1.15)
#: the highest value of a flat place is hit if it is this many standard deviations above the median. The share of flat
#: places that are hit, times the second number and at most the third, is the share of highest values that do not count.
#: Without these, the mean squared deviation of flat places is at least the fourth
HIT, TRIMMED, MOST_TRIMMED, LEAST_TRIMMED = 5.0, 4.0, 0.2, 0.5
#: the error is raised, by these factors at most, until this quantile of the deviations is that of flat places
MOST_TAIL, MOST_TAIL_OF_TWO = 6.0, 2.0
#: least variance, over that of noise, of the places whose quantile is compared
APART = 1.5
#: factor by which the fitted error is raised, because places of one kind differ
SAFETY = 1.5
#: index of the feature of the change
CHANGE = 3
#: least error of a model with shifts or seeing: shares of the signal and of the change
LEAST_OF_SIGNAL, LEAST_OF_CHANGE = 0.01, 0.1
#: window (pixels) of a kernel, and largest ripple of a kernel around a change, as a share of the largest change in the
#: window
REACH, RIPPLE = 7, 0.015
#: the ripple is measured on structures that are this number of standard deviations of the common image above `SURE`
BRIGHT = 6.0


@dataclass(frozen=True)
class ModelError:
    """Variance by which exposures differ on structures beyond the noise.

    It is a sum of parts of six squares. The first three are those of the signal above the level around, of the
    gradient, and of the second derivatives. The fourth is that of the change by shift and seeing. The last two are
    those of the largest such change within the reach of a kernel: everywhere, and where the structure is not bright.

    Attributes
    ----------
    parts : tuple of float
        Factors of the squares.
    least : tuple of float
        Factors of the least variance.
    """

    parts: tuple = (0.0,) * 6
    least: tuple = (0.0,) * 6

    def of(self, features):
        """float32 (ny, nx) variance at some `features_of` an image; 0 where the image is flat."""
        error = np.zeros(features.shape[1:], np.float32)
        for factors in (self.parts, self.least):
            used = np.float32(factors[: len(features)])
            np.maximum(error, np.tensordot(used, features[: len(used)], axes=1), out=error)
        # not in the noise of flat places
        flat = ~dilate(features[0] > 0, 1)
        error[flat] = 0
        if len(features) > CHANGE and any(self.least):
            # around a bright star, the kernel changes pixels that have no structure of their own
            ripple = np.float32(sum(self.least[CHANGE + 1 :])) * features[CHANGE + 1]
            error[flat] = np.maximum(features[CHANGE], ripple)[flat]
        return error


def features_of(image, variance, change=None):
    """Squares of the quantities to which the error of a model may be proportional, minus those of noise.

    Parameters
    ----------
    image, variance : `~numpy.ndarray`
        (ny, nx) common image, and variance of its noise.
    change : `~numpy.ndarray`, optional
        (ny, nx) largest expected change by shift and seeing, where these were measured.

    Returns
    -------
    features : `~numpy.ndarray`
        float32 (3 or 6, ny, nx).
    """
    smooth = mean_around(image, 3)
    signal = np.maximum(image - ndimage.minimum_filter(smooth, AROUND) - SURE * np.sqrt(variance), 0)
    slopes, bends = (
        sum(ndimage.correlate1d(image, kernel, axis=axis, mode="nearest") ** 2 for axis in (0, 1))
        for kernel in ((-0.5, 0.0, 0.5), (1.0, -2.0, 1.0))
    )
    found = [signal**2, np.maximum(slopes - variance, 0), np.maximum(bends - 12 * variance, 0)]
    if change is None:
        return np.stack(found)
    changed = np.maximum(change**2 - 2 * variance, 0)
    beside, bright = ndimage.maximum_filter(changed, REACH), found[0] > BRIGHT**2 * variance
    return np.stack([*found, changed, beside, np.where(bright, 0, beside)])


def places_to_fit(contrast2, variance):
    """Indices of pixels with structure, and of flat ones, to which `fit_model_error` is to be fitted.

    Parameters
    ----------
    contrast2, variance : `~numpy.ndarray`
        (ny, nx) squared contrast around each pixel, without that of noise, and variance of noise.
    """
    step = max(contrast2.size // PIXELS, 1)
    flat = np.flatnonzero(contrast2.ravel()[::step] == 0) * step
    return _strongest(np.flatnonzero(contrast2 > CLEAR * variance), contrast2.ravel()), flat


def fit_model_error(n, structure, flat):
    """Measure the error of the expected exposures.

    Parameters
    ----------
    n : int
        Number of exposures.
    structure, flat : tuple of `~numpy.ndarray`
        Lowest, median and highest value (M,) of some pixels on a common level, variance (M,) of the noise of one
        value, and `features_of` the image (K, M) there; see `places_to_fit`.

    Returns
    -------
    error : ModelError

    Notes
    -----
    The parts are fitted to the squared deviations of the lowest and the highest value from the median. A deviation
    counts up to nine times the expected one, or four times with two exposures, which bounds the effect of hits. The
    effect that remains is measured in flat places. If the largest deviations exceed those of flat places, the error is
    raised. With three exposures or more, a share of the highest values does not count, because on lines and stars most
    of them are hits. This share is four times the share of flat places that are hit. The lowest value of the pixel
    counts in place of such a highest value. Hits near stars may be more frequent than in flat places, by chance. The
    error is therefore at most the one that the lowest values show, plus a standard error.
    """
    *values, noise, features = structure
    least = (0.0,) * 6
    if len(features) > CHANGE:
        least = (LEAST_OF_SIGNAL**2, 0.0, 0.0, LEAST_OF_CHANGE**2, RIPPLE**2, 0.0)
    if len(noise) < FEWEST:
        return ModelError(least=least)
    trimmed = _trimmed(n, *flat[1:4])
    usual, usual_tail = _squares_of_flat_places(n, *flat[:4], trimmed)
    rows, squares = features[: CHANGE + 1].T.astype(np.float64), squares_of_both(*values, n)
    parts = _fit(rows, squares, noise, n, usual, trimmed)
    fitted = noise + rows @ parts
    if any(least):
        *of_terms, ripple, _ = least
        square = mean_square(squares, _most(n) * fitted, fitted, trimmed) / usual
        on_bright = min(ripple, _limit_of_ripple(features, square, fitted))
        of_terms = np.minimum(of_terms, _limits(rows, parts, fitted)).tolist()
        least = (*of_terms, on_bright, ripple - on_bright)
    apart = fitted > APART * noise
    if np.count_nonzero(apart) > FEWEST:
        squares = [one[apart] for one in squares]
        trimmed = max(trimmed, _more_high_than_low(squares, fitted[apart]))
        found = np.quantile(mean_square(squares, None, fitted[apart], trimmed) / fitted[apart], TAIL)
        parts = parts * np.clip(found / usual_tail, 1, MOST_TAIL if n > 2 else MOST_TAIL_OF_TWO)
    return ModelError(tuple((SAFETY * parts).tolist()), least)


def _limits(rows, parts, fitted):
    """Parts (K,) above which the deviations exclude each of the features (M, K), for variances ``fitted`` (M,)."""
    errors = np.sqrt(SPREAD / np.maximum(np.square(rows / fitted[:, None]).sum(axis=0), 1e-30))
    return SAFETY * (parts + EXCLUDED * errors)


def _limit_of_ripple(features, square, fitted):
    """Part of the ripple on bright structure above which squared deviations (M,) exclude it; see `_limits`.

    The other parts describe most of a ripple. What they leave is its own part. Where structure is faint, a ripple is
    strong in too few places to be measured.
    """
    ripple = (features[CHANGE + 1] - features[CHANGE + 2]).astype(np.float64)[:, None]
    weighted = ripple / fitted[:, None]
    left = ((square - fitted) / fitted) @ weighted / max(np.square(weighted).sum(), 1e-30)
    return float(_limits(ripple, np.maximum(left, 0), fitted)[0])


def _most(n):
    """Multiple of the expected one up to which a squared deviation of ``n`` values counts."""
    return MOST if n > 2 else MOST_OF_TWO


def _trimmed(n, median, high, noise):
    """Share of the highest values that may be hit, from the share in flat places."""
    if n < 3 or len(noise) < FEWEST:
        return 0.0
    return min(TRIMMED * float(np.mean(high - median > HIT * np.sqrt(noise))), MOST_TRIMMED)


def _squares_of_flat_places(n, low, median, high, noise, trimmed):
    """Mean, and quantile `TAIL`, of the squared deviations of flat places over the variance, hits included."""
    least, highest = OF_FLAT if n > 2 else OF_FLAT_OF_TWO
    if len(noise) < FEWEST:
        return least, tail_of_noise(n)
    squares = squares_of_both(low, median, high, n)
    mean = np.mean(mean_square(squares, _most(n) * noise, noise, trimmed) / noise)
    tail = np.quantile(mean_square(squares, None, noise, trimmed) / noise, TAIL)
    usual = float(np.clip(mean, LEAST_TRIMMED if trimmed else least, highest))
    return usual, max(float(tail), tail_of_noise(n))


def _strongest(places, contrast2):
    """At most `PIXELS` of some places: half of them those of highest contrast."""
    if len(places) <= PIXELS:
        return places
    strongest = places[np.argpartition(contrast2[places], -PIXELS // 2)[-PIXELS // 2 :]]
    return np.union1d(strongest, places[np.linspace(0, len(places) - 1, PIXELS // 2).astype(int)])


def _more_high_than_low(squares, expected):
    """Share of pixels with a hit: so many more of the highest values are far from the median than of the lowest."""
    lower, upper = (np.count_nonzero(one > MOST * expected) for one in squares)
    return min(max(upper - lower, 0) / len(expected), MOST_TRIMMED)


def _seen_in_low_values(lower, variance, fitted, n):
    """Share of a fitted excess variance that the lowest values show, plus its standard error; at most 1.

    An error of the model makes some values too low and others too high. Hits make values too high only.

    Parameters
    ----------
    lower : `~numpy.ndarray`
        (M,) squared deviations of the lowest value.
    variance, fitted : `~numpy.ndarray`
        (M,) variance of the noise of one value, and the same with the fitted excess.
    n : int
        Number of exposures.

    Returns
    -------
    share : float
    """
    lower = np.minimum(lower, _most(n) * fitted)
    excess = fitted - variance
    weight = excess / fitted**2
    total = np.sum(weight * excess)
    found = np.sum(weight * (lower - variance))
    error = np.sqrt(SPREAD_OF_LOW * np.sum((weight * fitted) ** 2))
    return float(np.clip((found + error) / total, 0, 1))


def _shrunken(parts, significance):
    """Parts (K,) times 1 - (`LEAST_SIGNIFICANT` / significance)^2.

    They begin at 0 and are nearly unchanged where they are well measured, as the estimates of James and Stein (1961).
    If a part that is just significant counted completely, few hits near stars could raise it from 0 to several standard
    errors, and with it the noise of all stars.
    """
    return parts * (1 - np.square(LEAST_SIGNIFICANT / significance))


def _fit(rows, squares, variance, n, usual, trimmed=0.0):
    """Parts (K,) of the features (M, K), as far as low values show them; those that are not significant are 0.

    ``squares`` are the two `squares_of_both`. The parts are `_shrunken`.
    """
    from scipy.optimize import nnls

    keep = list(range(rows.shape[1]))
    fitted = variance + FIRST_SHARE * rows.sum(axis=1)
    while keep:
        for _ in range(ROUNDS):
            share = max(trimmed, _more_high_than_low(squares, fitted))
            mean = mean_square(squares, _most(n) * fitted, fitted, share) / usual
            weighted = rows[:, keep] / fitted[:, None]
            scale = np.maximum(np.linalg.norm(weighted, axis=0), 1e-30)
            found = nnls(weighted / scale, (mean - variance) / fitted)[0] / scale
            fitted = variance + rows[:, keep] @ found
        errors = np.sqrt(SPREAD * np.diag(np.linalg.pinv((weighted / scale).T @ (weighted / scale)))) / scale
        # a feature that is 0 everywhere has no error and no part in the variance
        significance = np.divide(found, errors, out=np.zeros_like(found), where=errors > 0)
        if (significance >= LEAST_SIGNIFICANT).all():
            parts = np.zeros(rows.shape[1])
            parts[keep] = _shrunken(found, significance)
            # of two exposures, the lowest value is as far from the median as the highest
            return parts * _seen_in_low_values(squares[0], variance, fitted, n) if n > 2 else parts
        keep.pop(int(np.argmin(significance)))
    return np.zeros(rows.shape[1])
