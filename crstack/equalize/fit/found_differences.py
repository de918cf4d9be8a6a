"""The differences that a fit has found, as its result."""

import numpy as np

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.differences import Differences
from crstack.equalize.fit.kernels.changes import largest_blur
from crstack.equalize.fit.kernels.kernel_terms import moment_errors

__all__ = ["fitted_terms", "found_differences"]

#: number of values of a response that give its limits, and least light (sigma) of the pixels that count
PIXELS_OF_LIMITS, CLEAR = 300_000, 3.0


def found_differences(fit):
    """The differences of a fit to all pixels of its exposures.

    Parameters
    ----------
    fit : ExpectedExposures
        The fit.

    Returns
    -------
    differences : Differences
        Its terms, and the common image if any term needs it.
    """
    n = len(fit.levels)
    differs = fit.terms is not None or any(fit.kinds) or fit.lines or any(map(any, fit.steps))
    differs = differs or "hot pixels" in fit.names
    return Differences(
        **fitted_terms(fit, fit),
        scales=tuple(fit.scale(i) for i in range(n)),
        added=tuple(fit.shift(i) for i in range(n)),
        lines=tuple(fit.lines),
        limits=() if fit.gains is None else _limits(fit),
        change=largest_blur(fit.blurs, fit.changes, fit.steps),
        common=fit.common_with_hot(CONTRAST[-1]) if differs else None,
        profiles=tuple(_profile(fit, line) for line in fit.lines),
    )


def _lit(fit):
    """Pixels with light that a response changes, bool (ny, nx)."""
    return fit.brightness > CLEAR * np.sqrt(fit.variance_of(fit.brightness))


def _limits(fit):
    """Limits that contain nearly all values of the response, in the pixels with light that it changes."""
    some = fit.gains[:, _lit(fit)].ravel()
    some = some[:: max(some.size // PIXELS_OF_LIMITS, 1)]
    return tuple((1 + np.percentile(some, [0.1, 99.9])).tolist()) if some.size else ()


def _profile(fit, line):
    """Mean (N, length) of the terms of one kind along the axis of a line."""
    along = 2 if line.axis == "x" else 1
    if line.name != "response":
        return sum(one.mean(axis=along) for one in (fit.added, fit.sky) if one is not None)
    weight = fit.brightness * _lit(fit)
    light = weight.sum(axis=along - 1)
    return 1 + (fit.gains * weight).sum(axis=along) / np.where(light > 0, light, 1)


def fitted_terms(fit, whole):
    """Fields of the `Differences` that come from a fit, or from the exposures to which it is applied.

    Parameters
    ----------
    fit : ExpectedExposures
        The fit of factors, kernels and steps.
    whole : ExpectedExposures or `~crstack.equalize.fit.by_bands.ExposuresByBands`
        The exposures, with their noises, levels and surfaces.

    Returns
    -------
    terms : dict
        Fields of `Differences` by name.
    """
    n = len(whole.levels)
    return {
        "factors": tuple(np.asarray(fit.factors).tolist()),
        "noises": tuple(whole.noises),
        "levels": tuple(float(np.mean(one)) for one in whole.backgrounds),
        "surfaces": tuple(whole.kinds),
        "kernels": fit.kernels,
        "kernel_errors": np.zeros((n, 6)) if fit.terms is None else np.array(list(map(moment_errors, fit.covariance))),
        "terms": fit.terms,
        "steps": fit.steps,
        "drifts": fit.drifts,
        "varying": fit.varying,
        "grids": _used_grids(whole.grids, whole.kinds),
    }


def _used_grids(grids, kinds):
    """Grids (N, rows, columns) of surfaces, 0 for exposures that need none; None if no exposure does."""
    return None if grids is None or not any(kinds) else grids * (np.array(kinds) != "")[:, None, None]
