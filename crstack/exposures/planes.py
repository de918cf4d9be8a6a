"""One exposure as it enters the cube: bias subtracted, with its bad values and its variance."""

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, VarianceUncertainty

from crstack._validation import check_image_shape
from crstack.exceptions import InputError

__all__ = ["fill_plane", "image_with_noise"]


def _variance_of(ndd, unit):
    """Variance image of an exposure in ``unit**2``, or None if it has no uncertainty."""
    if ndd.uncertainty is None:
        return None
    try:
        variance = ndd.uncertainty.represent_as(VarianceUncertainty)
    except (TypeError, AttributeError) as error:
        name = type(ndd.uncertainty).__name__
        raise InputError(
            f"uncertainty must be a standard deviation, variance or inverse variance; got {name}"
        ) from error
    own_unit = variance.unit or unit**2
    with np.errstate(divide="ignore", over="ignore"):
        values = np.asarray(variance.array, dtype=np.float64) * own_unit.to(unit**2)
        return values.astype(np.float32)


def _bad_of(ndd, values, variance):
    """Mask of the pixels that cannot be used, or None."""
    bad = ~np.isfinite(values)
    if ndd.mask is not None:
        bad |= np.broadcast_to(np.asarray(ndd.mask, dtype=bool), bad.shape)
    if variance is not None:
        bad |= ~(np.isfinite(variance) & (variance > 0))
    return bad if bad.any() else None


def fill_plane(plane, ndd, name, unit, offset):
    """Write one exposure minus its bias into a plane of the cube.

    Parameters
    ----------
    plane : `~numpy.ndarray`
        float32 (ny, nx), written; 0 at bad values.
    ndd : `~astropy.nddata.NDData`
        The exposure.
    name : str
        What to call it in messages.
    unit : `~astropy.units.Unit`
        Unit of the cube.
    offset : float or `~numpy.ndarray`
        Bias in ``unit``.

    Returns
    -------
    bad : `~numpy.ndarray` of bool or None
    variance : `~numpy.ndarray` or None
        float32, in ``unit**2``, 1 at bad values; None if the exposure has no uncertainty.

    Raises
    ------
    InputError
        If its unit or shape is not that of the cube, or no value is usable.
    """
    own_unit = u.Unit(ndd.unit) if ndd.unit is not None else unit
    if own_unit != unit:
        raise InputError(f"exposures must share one unit; got {unit} for the first and {own_unit} for {name}")
    if np.shape(ndd.data) != plane.shape:
        raise InputError(
            f"exposures must share one shape; got {plane.shape} for the first and {np.shape(ndd.data)} for {name}"
        )
    # the difference is taken in float64: ADU near 65535 leave few bits in float32
    with np.errstate(over="ignore", invalid="ignore"):
        plane[...] = np.asarray(ndd.data, dtype=np.float64) - offset
    variance = _variance_of(ndd, unit)
    if variance is not None:
        check_image_shape(f"uncertainty of {name}", variance.shape, plane.shape)
    bad = _bad_of(ndd, plane, variance)
    if bad is not None:
        if bad.all():
            raise InputError(f"exposures must have valid pixels; got none in {name}")
        plane[bad] = 0
        if variance is not None:
            variance[bad] = 1
    return bad, variance


def image_with_noise(ccd, noise):
    """What a detector needs of a single CCDData.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        Image (ny, nx) in ``noise.unit``, bias subtracted.
    noise : `~crstack.noise.NoiseModel`
        Noise of the image, if it brings no uncertainty.

    Returns
    -------
    image : `~numpy.ndarray`
        float32, a copy, 0 at bad pixels.
    bad : `~numpy.ndarray` of bool or None
    noise : `~crstack.noise.NoiseModel`
        With the variance of the image, if it brings an uncertainty.
    """
    if not isinstance(ccd, CCDData):
        raise InputError(f"ccd must be a CCDData; got {type(ccd).__name__}")
    if ccd.data.ndim != 2:
        raise InputError(f"ccd must be a 2-D image; got {ccd.data.ndim} dimensions")
    if ccd.unit != noise.unit:
        raise InputError(f"ccd must be in the unit of its noise, {noise.unit}; got {ccd.unit}")
    image = np.empty(ccd.shape, dtype=np.float32)
    bad, variance = fill_plane(image, ccd, "ccd", noise.unit, 0.0)
    return image, bad, noise if variance is None else noise.with_known_variance(variance)
