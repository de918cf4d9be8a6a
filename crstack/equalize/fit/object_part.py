"""The object on a slit, which seeing, shift and slit losses change, apart from the lines of the sky that cross it.

Where terms along the lines of the sky describe all changes of the sky, kernels apply to the object only. A kernel for
both would be that of the sky, because its lines are brighter. These terms have removed the shift of the lines. The
shift of the object would then not be found, and its rows would seem to have another throughput each.
"""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.lines.straight_lines import straight_blocks, straight_part
from crstack.equalize.terms.steps import moved
from crstack.utils.medians import median_along_rows, median_of_values

__all__ = [
    "CLEAR",
    "LEAST_THROUGHPUT",
    "at_other_places",
    "change_of_object",
    "clear_light",
    "has_lines",
    "has_trace",
    "height_of_lines",
    "images_of_kernels",
    "objects_of",
    "spread_response",
    "with_own_sky",
    "without_sky",
]

#: rows over which the throughput of an object is averaged before kernels are fitted
ROWS = 25
#: an image has lines along an axis if, across them, this quantile of the deviation from the median of the window
#: (pixels) around is at least this number of standard deviations of a pixel. Stars reach a few hundredths
QUANTILE, WINDOW, CLEAR = 0.9, 51, 1.0
#: an object is a trace if at least this share of it is straight
STRAIGHT = 0.3
#: an object is clear where its light is this number of standard deviations of the noise
CLEAR_OBJECT = 3.0
#: change of the throughput of an object, of both signs in one exposure, that shows that it was moved
OF_MOVED = np.float32(0.2)
#: least light (electrons) by which anything is divided
LEAST_LIGHT = np.float32(1e-6)
#: least throughput along rows and columns, relative to that of the exposure. Where there is little signal, a fit may
#: give a negative one, which no exposure has
LEAST_THROUGHPUT = np.float32(0.2)


def has_lines(image, variance, axis, course=None):
    """Whether an image has straight lines along an axis, such as those of the sky along a slit.

    Parameters
    ----------
    image, variance : `~numpy.ndarray`
        (ny, nx) common image, and variance of one exposure there, electrons and their squares.
    axis : {"x", "y"}
        Axis along the lines.
    course : ~crstack.equalize.fit.lines.courses.Course, optional
        Course of these lines, if they are not straight.

    Returns
    -------
    found : bool
    """
    return bool(height_of_lines(image, variance, axis, course) > CLEAR)


def height_of_lines(image, variance, axis, course=None):
    """Height of the straight lines along an axis, in standard deviations of a pixel; see `has_lines`."""
    image = image if axis == "y" else image.T
    medians, _ = straight_blocks(image if course is None else course.straightened(image))
    above = medians - median_along_rows(medians, WINDOW)
    half = WINDOW // 2
    if medians.shape[1] > 2 * WINDOW:
        # at the edges, a gradient differs from the median
        above = above[:, half:-half]
    return np.quantile(np.abs(above), QUANTILE) / np.sqrt(median_of_values(variance))


def without_sky(image, axis, course=None):
    """Object in an image (ny, nx), electrons, without the sky that hardly changes along an axis or a course."""
    return np.maximum(image - straight_part(image, axis, course), 0)


def has_trace(image, variance, axis, across=None):
    """Whether the object in an image is a trace along an axis, such as the spectrum of a star, and not stars.

    Parameters
    ----------
    image, variance : `~numpy.ndarray`
        (ny, nx) common image, and variance of one exposure there, electrons and their squares.
    axis : {"x", "y"}
        Axis along the trace.
    across : ~crstack.equalize.fit.lines.courses.Course, optional
        Course of the lines across the trace, if they are not straight.

    Returns
    -------
    found : bool
    """
    light = without_sky(image, "y" if axis == "x" else "x", across)
    weight = light / variance
    return bool((weight * straight_part(light, axis)).sum() > STRAIGHT * (weight * light).sum())


def clear_light(light, variance):
    """The light (ny, nx) of an object where it is clear, and 0 elsewhere; ``variance`` is that of one exposure."""
    return np.where(light > CLEAR_OBJECT * np.sqrt(variance), light, np.float32(0))


def change_of_object(left, light, variance, axis):
    """Change of an object in each row or column across it: the median of the change over its light there.

    Parameters
    ----------
    left, light, variance : `~numpy.ndarray`
        (ny, nx) exposure minus what is expected of it, light of the object, and variance of the exposure.
    axis : {"x", "y"}
        Axis across the object.

    Returns
    -------
    change : `~numpy.ndarray`
        float32 (ny, nx), electrons.
    """
    if axis == "x":
        return change_of_object(left.T, light.T, variance.T, "y").T
    clear = clear_light(light, variance) > 0
    rows, some = clear.any(axis=1), clear.any(axis=0)
    shares = np.zeros(light.shape[1], np.float32)
    if some.any():
        of_clear = np.full(light[rows].shape, np.nan, np.float32)
        np.divide(left[rows], light[rows], out=of_clear, where=clear[rows])
        shares[some] = np.nan_to_num(np.nanmedian(of_clear[:, some], axis=0))
    return shares * light


def objects_of(model, image):
    """The part of an image that the kernel of each exposure changes, with the throughput of this part.

    Parameters
    ----------
    model : `~crstack.equalize.fit.expected_exposures.ExpectedExposures`
        The fit.
    image : `~numpy.ndarray`
        (ny, nx) common image, electrons.

    Returns
    -------
    parts : list of `~numpy.ndarray`
        N images (ny, nx): the object alone where terms describe the lines of the sky; else the image itself.
    """
    if model.sky_along is None:
        return [image] * len(model.levels)
    part = image - straight_part(image, model.sky_along, model.courses.get(model.sky_along))
    if model.gains is None:
        return [part] * len(model.levels)
    # the response multiplies all of the image, but its effect is that on the object
    gains = (moved(gain, tuple(-one for one in step)) for gain, step in zip(model.gains, model.steps, strict=True))
    return [part + gain * image for gain in gains]


def images_of_kernels(model, common, level):
    """The images to which kernels are fitted: one for all exposures, or one for each.

    Parameters
    ----------
    model : `~crstack.equalize.fit.expected_exposures.ExpectedExposures`
        The fit.
    common : `~numpy.ndarray`
        (ny, nx) common image, electrons.
    level : `~numpy.ndarray` or float
        Its level.

    Returns
    -------
    images : list of `~numpy.ndarray`
        Of 1 or N images (ny, nx).
    """
    if model.sky_along is None and model.sky is None:
        return [common - level]
    parts = [common - level] * len(model.levels) if model.sky_along is None else objects_of(model, common)
    return [with_own_sky(model, i, one) for i, one in enumerate(parts)]


def with_own_sky(model, i, image):
    """An image (ny, nx) with the change of the sky of exposure ``i`` that comes through its kernel."""
    return image if model.sky is None else image + model.sky[i]


def at_other_places(model):
    """Whether an exposure has much more light in some places and much less in others: an object that was moved.

    Parameters
    ----------
    model : `~crstack.equalize.fit.expected_exposures.ExpectedExposures`
        The fit.

    Returns
    -------
    found : bool
    """
    if model.gains is None:
        return False
    gains = model.gains
    for line in model.lines:
        if line.setting == "object":
            # the light of the object may change along it by any factor
            gains = _without_object(gains, model, line.axis)
    return any(float(one.max()) > OF_MOVED > -OF_MOVED > float(one.min()) for one in gains)


def _without_object(gains, model, axis):
    """Throughputs (N, ny, nx) without their mean across the object, by axis across it."""
    light, along = model.brightness, 1 if axis == "y" else 2
    part = light / np.maximum(model.common(CONTRAST[-1]), np.maximum(light, LEAST_LIGHT))
    mean = (gains * light).sum(axis=along, keepdims=True)
    mean /= np.maximum((part * light).sum(axis=along - 1, keepdims=True), LEAST_LIGHT)
    return gains - mean * part


def spread_response(model, axis, common):
    """Replace the throughput of an object in each row by the mean of the rows around, weighted by its light.

    A shift or another seeing moves light between rows, which hardly changes this mean.

    Parameters
    ----------
    model : `~crstack.equalize.fit.expected_exposures.ExpectedExposures`
        The fit; its response is changed.
    axis : {"x", "y"}
        Axis along the object.
    common : `~numpy.ndarray`
        (ny, nx) common image, electrons.
    """
    if model.gains is None:
        return
    window = (ROWS, 1) if axis == "x" else (1, ROWS)
    light = np.maximum(ndimage.uniform_filter(model.brightness, window, mode="nearest"), LEAST_LIGHT)
    common = np.maximum(common, np.maximum(model.brightness, LEAST_LIGHT))
    change = ndimage.uniform_filter(model.gains * common, (0, *window), mode="nearest")
    model.gains = np.maximum(change / light * (model.brightness / common), LEAST_THROUGHPUT - 1)
