"""Weights of the exposures in means."""

from collections.abc import Sequence

import numpy as np

from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.utils.medians import median_of_values

__all__ = ["exposure_weights", "weighted_mean", "weighted_variance"]

KINDS = ("variance", "exptime")


def exposure_weights(weights: str | Sequence[float], exposures: Exposures) -> np.ndarray:
    """Compute the weights of the exposures, with a mean of 1.

    Parameters
    ----------
    weights : {"variance", "exptime"} or sequence of float
        "variance": the inverse of the median over the image of the variance of each exposure, at the median of the
        exposures. "exptime": the exposure times. Or one positive number for each exposure.
    exposures : `~crstack.exposures.Exposures`
        The exposures.

    Returns
    -------
    weights : `~numpy.ndarray`
        One weight for each exposure, float64 (N,).

    Raises
    ------
    InputError
        If the weights are not N positive numbers, or an exposure time is not known.

    Notes
    -----
    Each exposure has one weight for all its pixels. The variance of a single value usually depends on the value, so
    its inverse as a weight would bias the mean to low values.
    """
    if isinstance(weights, str):
        values = _named_weights(weights, exposures)
    else:
        try:
            values = np.array(weights, dtype=float)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (len(exposures),) or not (np.isfinite(values) & (values > 0)).all():
            raise InputError(
                f"weights must be {' or '.join(KINDS)}, or {len(exposures)} positive numbers; got {weights!r}"
            )
    return values / values.mean()


def _named_weights(name, exposures):
    """Weights (N,) by the name of their kind, not yet normalised."""
    if name == "variance":
        level = median_of_values(exposures.data, axis=0)
        return np.array([1 / _median_variance(exposures, i, level) for i in range(len(exposures))])
    if name != "exptime":
        raise InputError(f"weights must be {' or '.join(KINDS)}, or {len(exposures)} positive numbers; got {name!r}")
    seconds = getattr(exposures, "exptimes", ())
    if len(seconds) != len(exposures) or not all(one is not None and one > 0 for one in seconds):
        raise InputError(
            'exposure times must be known for weights="exptime" (EXPTIME in the headers); '
            "give one number for each exposure, such as weights=[600, 600, 300]"
        )
    return np.array(seconds, dtype=float)


def _median_variance(exposures, i, level):
    variance, bad = exposures.variance_of(i, level), exposures.bad_of(i)
    return float(median_of_values(variance if bad is None else variance[~bad]))


def weighted_mean(planes, weights, excluded):
    """Weighted mean of the values that are not excluded.

    Parameters
    ----------
    planes : sequence of `~numpy.ndarray`
        (ny, nx) images.
    weights : sequence of float
        One for each.
    excluded : sequence of (`~numpy.ndarray` of bool or None)
        True where a value is excluded; None if there is none.

    Returns
    -------
    mean : `~numpy.ndarray`
        float64; 0 where all are left out.
    """
    total, sums = np.zeros(planes[0].shape), np.zeros(planes[0].shape)
    for plane, weight, out in zip(planes, weights, excluded, strict=True):
        used = True if out is None else ~out
        np.add(total, weight, out=total, where=used)
        np.add(sums, weight * plane, out=sums, where=used)
    return sums / np.where(total > 0, total, 1)


def weighted_variance(variances, weights, excluded):
    """Variance of `weighted_mean`: sum of weight**2 times variance, over the square of the sum of the weights.

    Parameters
    ----------
    variances : iterable of `~numpy.ndarray`
        (ny, nx) variance of each image.
    weights, excluded
        As for `weighted_mean`.

    Returns
    -------
    variance : `~numpy.ndarray`
        float64; 0 where all are left out.
    """
    total = sums = 0.0
    for variance, weight, out in zip(variances, weights, excluded, strict=True):
        used = np.ones(variance.shape, bool) if out is None else ~out
        total = total + weight * used
        sums = sums + weight**2 * np.where(used, variance, 0)
    return sums / np.square(np.where(total > 0, total, 1))
