"""Terms along rows and columns of a model: what each is fitted to, and what it changes."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.lines.lines import fit_whole
from crstack.equalize.fit.lines.slit_sky import sky_in_slits
from crstack.equalize.fit.lines.straight_lines import straight_part
from crstack.equalize.fit.misfit import differences_of, moved_back, residuals, residuals_with_hits
from crstack.equalize.fit.object_part import LEAST_THROUGHPUT, change_of_object, clear_light, without_sky
from crstack.utils.memory import empty_image
from crstack.utils.pixels import contrast_of, dilate
from crstack.utils.threads import map_threads, row_bands

__all__ = [
    "add_line",
    "add_slit",
    "changes_along",
    "fit_line_terms",
    "fit_object",
    "line_terms_of",
    "object_in",
    "regressor_of",
    "restore_line_terms",
    "set_response",
]

#: a residual of more than this number of standard deviations is a hit where the throughput of an object changes; and
#: shares of the contrast in the rounds of its fit
FAR_FROM_OBJECT, CONTRASTS_OF_OBJECT = 3.0, (0.3, 0.1, 0.03)
#: window (pixels) of the medians along a row or column, from which a response of two exposures is measured
ALONG = 5
#: rounds of the fit of a change of the sky in slits, each with the common image of the one before
SLIT_ROUNDS = 3
#: rounds of the fit of the throughput of a whole object, each with the common image of the one before
WHOLE_ROUNDS = 3


def fit_line_terms(model, lines):
    """Fit terms that vary along rows and columns, in place of those that were fitted before."""
    model.gains = model.added = None
    model.lines, model.freedom = [], {}
    if model.sky is not None:
        _set_sky(model, None)
    for line in lines:
        model.lines.append(line)
        if line.setting == "slit":
            add_slit(model, line)
        elif line.setting == "whole":
            add_whole(model, line)
        else:
            add_line(model, line, residuals(model))


def add_slit(model, slit):
    """Fit a change of the sky in slits, and add it to a model."""
    for _ in range(SLIT_ROUNDS):
        # a line that brightens by a large factor looks like a hit, because it is short
        add_line(model, slit, residuals_with_hits(model))


def add_whole(model, line):
    """Fit one throughput of the whole object in each exposure, and add it to a model."""
    for _ in range(WHOLE_ROUNDS):
        add_line(model, line, residuals(model))


def add_line(model, line, found):
    """Fit a term along rows or columns to `Residuals`, and add it to the model."""
    if line.setting == "object":
        fit_object(model, line)
        return
    left, signal, variance, _ = found
    regressor = regressor_of(model, line, signal)
    if line.setting == "slit":
        share = _share_of(model, line, moved_back(model, left), regressor, variance) * regressor
        _set_sky(model, share if model.sky is None else model.sky + share)
        return
    # faint light is noise for the most part, and what is left of the lines of the sky
    fitted = clear_light(regressor, variance) if line.setting == "whole" else regressor
    share = _share_of(model, line, left, fitted, variance)
    if line.name == "response":
        set_response(model, share, regressor, signal)
        return
    if line.setting != "backgrounds":
        share = share * regressor
    if model.added is None:
        model.added = share
    elif share.any():
        # without a change, the common image stays, too
        model.added = model.added + share


def _share_of(model, line, left, regressor, variance):
    """Fitted share (N, ny, nx) of the regressor of a term; its number of values is noted in the model."""
    share, freedom = line.fit(left, regressor, variance, model.courses.get(line.axis))
    # a term that is fitted again has the same values
    model.freedom[line] = max(freedom, model.freedom.get(line, 0.0))
    return share


def _set_sky(model, sky):
    """Change the sky that comes through the optics, and with it what the kernels change."""
    model.sky = sky
    common = model.common(CONTRAST[-1])
    model.change(common, model.variance_of(common))


def fit_object(model, line):
    """Fit the throughput of the object in each row or column to what is left, in rounds, and add it to the model."""
    for contrast in CONTRASTS_OF_OBJECT:
        _fit_object_once(model, line, contrast)


def _fit_object_once(model, line, contrast):
    """Fit the throughput of the object in each row or column to what is left, and add it to the model.

    Where the object is brighter in one exposure, its light is no hit. Values that differ from this by more than a
    share ``contrast`` of the contrast are left out: a hit would look like a brighter object.
    """
    common = model.common(CONTRAST[-1])
    left, variance = differences_of(model, common)
    signal = np.maximum(common, 0)
    regressor = regressor_of(model, line, signal)
    left = changes_along(model, line, left, regressor, variance)
    limit = FAR_FROM_OBJECT * np.sqrt(variance) + np.float32(contrast) * contrast_of(common)
    for i, one in enumerate(left):
        change = change_of_object(one, regressor, variance, line.axis)
        far = dilate(np.abs(one - change) > limit, 1)
        one[far] = change[far]
        if model.bad is not None:
            one[model.bad[i]] = np.nan
    set_response(model, _share_of(model, line, left, regressor, variance), regressor, signal)


def changes_along(model, line, left, light, variance):
    """What changes along an object: residuals without the sky across it, and without one throughput of all of it."""
    left = left - np.stack([straight_part(np.nan_to_num(one), line.axis, model.courses.get(line.axis)) for one in left])
    whole, _ = fit_whole(left, light, variance)
    return left - whole * light


def set_response(model, share, regressor, signal):
    """Change the throughput along rows and columns by shares of a part of the signal."""
    gains = empty_image((len(share), *signal.shape))

    def work(rows):
        change = share[:, rows if share.shape[1] > 1 else slice(None)]
        if regressor is not signal:
            # all but the object stays, and so does its noise
            part = regressor[rows] / np.maximum(signal[rows], np.maximum(regressor[rows], 1e-6))
            change = change * part
        if model.gains is not None:
            change = model.gains[:, rows] + change
        np.maximum(change, LEAST_THROUGHPUT - 1, out=gains[:, rows])

    map_threads(work, row_bands(*signal.shape))
    model.gains = gains
    model.brightness = regressor


def regressor_of(model, line, signal):
    """Image (ny, nx) that a term multiplies."""
    if line.setting == "backgrounds":
        return np.ones_like(signal)
    if line.setting == "sky":
        return np.maximum(model.straight_part(signal, line.axis), 0)
    if line.setting == "slit":
        noise = np.sqrt(model.variance_of(signal) / len(model.levels))
        return sky_in_slits(signal, noise, line.axis, line.length)
    if line.setting == "object":
        # the sky that fills the slit along the axis stays
        return without_sky(signal, line.axis, model.courses.get(line.axis))
    if line.setting == "whole":
        return object_in(model, signal, line)
    if len(model.levels) == 2:
        signal = ndimage.median_filter(signal, (1, ALONG) if line.axis == "x" else (ALONG, 1))
    return object_in(model, signal, line) if _sky_beside(model, line) else signal


def _sky_beside(model, line):
    """Whether lines that cross a term have changes of their own, or none, so that the term must not change them."""
    return model.object_alone or any(
        one.axis == line.crosses and one.setting in ("backgrounds", "sky") for one in model.lines
    )


def object_in(model, signal, line):
    """Image (ny, nx) without the lines that cross the rows or columns of a term."""
    return np.maximum(signal - model.straight_part(signal, line.crosses), 0)


def line_terms_of(model):
    """What the terms along rows and columns change, see `restore_line_terms`."""
    changes = model.changes, model.blurs, model.noises
    return model.gains, model.added, model.sky, model.brightness, dict(model.freedom), changes, model.latest


def restore_line_terms(model, terms):
    """Restore the terms along rows and columns, and the common image that was found with them."""
    model.gains, model.added, model.sky, model.brightness, model.freedom, changes, model.latest = terms
    model.changes, model.blurs, model.noises = changes
