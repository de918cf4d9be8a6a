"""What the expected exposures leave: residuals with and without hits, and measures of the misfit."""

from typing import NamedTuple

import numpy as np

from crstack.equalize.fit.common_image import CLIP_SIGMA, CONTRAST
from crstack.equalize.fit.lines.line_hits import LineHits
from crstack.equalize.terms.steps import moved
from crstack.utils.memory import empty_image
from crstack.utils.pixels import contrast_of
from crstack.utils.threads import PIXELS_IN_CACHE, map_images, map_threads, row_bands

__all__ = [
    "Residuals",
    "apart",
    "criterion",
    "criterion_at_own_level",
    "criterion_by_own_noise",
    "criterion_by_own_weights",
    "differences_and_misfit",
    "differences_of",
    "misfit",
    "moved_back",
    "residuals",
    "residuals_with_hits",
    "without_hits",
]

#: a residual of more than this number of standard deviations, and more than this share of the contrast, is a hit
HIT, HIT_CONTRAST = 4.0, 0.3


class Residuals(NamedTuple):
    """What the expected exposures leave, at the level of the common image."""

    #: exposures (N, ny, nx) minus what is expected; NaN at bad values, except in `differences_and_misfit`
    left: np.ndarray
    #: common image (ny, nx); not negative, except in `differences_and_misfit`
    signal: np.ndarray
    #: variance (ny, nx) of a value
    variance: np.ndarray
    #: sum of the squared residuals in units of their variance, see `misfit`; it is not computed for residuals with hits
    misfit: float = np.nan


def apart(one, other):
    """Largest difference between the throughputs of two models."""
    return np.abs(one.factors - other.factors).max()


def misfit(model):
    """Sum of the squared residuals in units of their variance; a limit reduces the effect of hits."""
    return differences_and_misfit(model).misfit


def criterion(model):
    """The misfit plus twice the number of fitted values, which compares models of unlike numbers of values.

    It is the information criterion of Akaike (1974, IEEE Trans. Autom. Control 19, 716). Each fitted value lowers the
    misfit, even if it describes noise. The few values of kernels and surfaces do not count.
    """
    return misfit(model) + 2 * sum(model.freedom.values())


def criterion_by_own_noise(model):
    """The same with the variance of each expected exposure, which compares models of any throughputs."""
    return _misfit_by_own_noise(model) + 2 * sum(model.freedom.values())


def criterion_at_own_level(model):
    """The same with residuals at the level of each exposure, and the variance of the common image at this level."""
    return model.misfit() + 2 * sum(model.freedom.values())


def criterion_by_own_weights(model):
    """The same with a common image in which each value has the weight of its own noise.

    Where the noise of the exposures differs, the misfit is least with these weights. A model whose common image has
    others would seem to describe less.
    """
    _, variances = _expected(model, model.common(CONTRAST[-1], mean=True))
    expected, variances = _expected(model, model.weighted_common(variances, CONTRAST[-1]))
    return _misfit_of(model, model.levels - expected, variances) + 2 * sum(model.freedom.values())


def _misfit_by_own_noise(model):
    """The misfit with the variance of each expected exposure."""
    expected, variances = _expected(model, model.common(CONTRAST[-1], mean=True))
    return _misfit_of(model, model.levels - expected, variances)


def _expected(model, common):
    """Expected exposures (N, ny, nx) for a common image, and their variances."""
    n = len(model.levels)
    expected = np.stack(map_images(lambda i: model.shift(i) + model.scale(i) * common, range(n)))
    noises = np.ones(n) if model.own_noises is None else model.own_noises
    variances = [np.float32(noise) * model.variance_of(one) for noise, one in zip(noises, expected, strict=True)]
    return expected, np.stack(variances)


def differences_of(model, common):
    """Exposures (N, ny, nx) minus what is expected, at the common level, and their variance."""
    left, factors = empty_image(model.levels.shape), np.float32(model.factors)

    def work(rows):
        for i, factor in enumerate(factors):
            rest = model.levels[i, rows] - model.shift(i, rows) - model.scale(i, rows) * common[rows]
            np.divide(rest, factor, out=left[i, rows])

    map_threads(work, row_bands(*common.shape))
    return left, model.variance_of(common)


def _misfit_of(model, left, variance):
    """Sum of the squared residuals over their variance; that of large ones grows as their logarithm."""
    limit = np.float32(CLIP_SIGMA**2)

    def of_rows(rows):
        squares = left[:, rows] ** 2
        squares /= variance[..., rows, :]
        # logarithmic beyond the limit. With plain squares, hits would dominate the sum. A constant would ignore parts
        # of the image that the model does not describe at all
        far = squares > limit
        squares[far] = limit * (1 + np.log(squares[far] / limit))
        return (squares if model.bad is None else squares[~model.bad[:, rows]]).sum(dtype=np.float64)

    return float(sum(map_threads(of_rows, row_bands(*left.shape[1:], PIXELS_IN_CACHE))))


def differences_and_misfit(model):
    """Residuals with hits, also at bad values, and the misfit."""
    common = model.common(CONTRAST[-1])
    left, variance = differences_of(model, common)
    return Residuals(left, common, variance, _misfit_of(model, left, variance))


def residuals(model):
    """Residuals without hits, and the misfit."""
    return without_hits(model, differences_and_misfit(model))


def without_hits(model, differences):
    """The residuals of a model from its `differences_and_misfit`, which are changed in place."""
    left, common, variance, total = differences
    hits = LineHits(common, HIT * np.sqrt(variance) + np.float32(HIT_CONTRAST) * contrast_of(common), model.courses)
    map_images(hits.replace_in, left)
    if model.bad is not None:
        left[model.bad] = np.nan
    return Residuals(left, np.maximum(common, 0), variance, total)


def residuals_with_hits(model):
    """Residuals in which hits stay."""
    common = model.common(CONTRAST[-1])
    left, variance = differences_of(model, common)
    if model.bad is not None:
        left[model.bad] = np.nan
    return Residuals(left, np.maximum(common, 0), variance)


def moved_back(model, left):
    """Residuals (N, ny, nx) at the pixels of the common image."""
    if not any(map(any, model.steps)):
        return left
    return np.stack([moved(one, (-dx, -dy)) for one, (dx, dy) in zip(left, model.steps, strict=True)])
