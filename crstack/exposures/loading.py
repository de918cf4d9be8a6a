"""A list of exposures becomes `Exposures`."""

import os

import astropy.units as u
import numpy as np
from astropy.nddata import NDData

from crstack._validation import check_image_shape, check_quantity
from crstack.exceptions import InputError
from crstack.exposures.cube import Exposures
from crstack.exposures.planes import fill_plane
from crstack.exposures.reading import as_ccd, writable_header
from crstack.noise import NoiseModel

__all__ = ["load_exposures"]

MINIMUM_EXPOSURES = 3


def _name_of(item, number):
    return os.fspath(item) if isinstance(item, str | os.PathLike) else f"exposure {number}"


def _check_items(items):
    if isinstance(items, str | os.PathLike | NDData):
        raise InputError(f"exposures must be a list of three or more; got a single {type(items).__name__}")
    items = list(items)
    if len(items) < MINIMUM_EXPOSURES:
        raise InputError(f"exposures must be {MINIMUM_EXPOSURES} or more; got {len(items)}")
    return items


def load_exposures(items, *, gain=None, readnoise=None, bias=None, unit=None, ext=0):
    """Read, check and bias-subtract a list of exposures.

    Parameters
    ----------
    items : list
        Three or more CCDData, NDData, Quantity images, plain 2-D arrays or
        paths of FITS files, all of one shape and unit. An iterator such as
        ``ImageFileCollection.ccds()`` will do.
    gain, readnoise : `~astropy.units.Quantity`
        Scalar or image (ny, nx); see `NoiseModel`.
    bias : `~astropy.units.Quantity`, optional
        Scalar or image (ny, nx), subtracted from each exposure; nothing by default.
    unit : `~astropy.units.Unit`, optional
        Unit of arrays and of files without BUNIT.
    ext : int or str, optional
        FITS extension of the images.

    Returns
    -------
    exposures : Exposures

    Raises
    ------
    InputError
        If there are fewer than three, or shapes, units or values do not fit.
    """
    items = _check_items(items)
    first = as_ccd(items[0], _name_of(items[0], 1), ext, unit)
    noise = NoiseModel(gain, readnoise, u.Unit(first.unit or unit))
    shape = np.shape(first.data)
    if len(shape) != 2:
        raise InputError(f"exposure must be a 2-D image; got {len(shape)} dimensions")
    offset = 0.0
    if bias is not None:
        offset = _in_unit("bias", bias, noise, gain, shape)
    for name, value in (("gain", gain), ("readnoise", readnoise)):
        if value is not None and np.ndim(value):
            check_image_shape(name, np.shape(value), shape)

    cube = np.empty((len(items), *shape), dtype=np.float32)
    bads, variances = [], []
    for i, item in enumerate(items):
        name = _name_of(item, i + 1)
        ndd = first if i == 0 else as_ccd(item, name, ext, unit)
        bad, variance = fill_plane(cube[i], ndd, name, noise.unit, offset)
        bads.append(bad)
        variances.append(variance)
    bad = None
    if any(one is not None for one in bads):
        bad = np.stack([np.zeros(shape, bool) if one is None else one for one in bads])
    names = tuple(_name_of(item, i + 1) for i, item in enumerate(items))
    header = writable_header(getattr(first, "meta", None), names[0])
    return Exposures(cube, bad, noise, tuple(variances), header, getattr(first, "wcs", None), names)


def _in_unit(name, value, noise, gain, shape):
    """A Quantity in ADU or electrons, in the unit of the exposures."""
    if isinstance(value, u.Quantity) and value.unit != noise.unit and gain is not None:
        if value.unit == u.electron:
            value = value / gain
        elif value.unit == u.adu:
            value = value * gain
    return check_quantity(name, value, noise.unit, shape=shape)
