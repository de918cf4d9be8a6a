"""One exposure from a FITS file, an array or an object of astropy."""

import os
from collections.abc import Mapping
from dataclasses import replace

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, NDData, UnknownUncertainty
from astropy.utils.masked import Masked

from crstack.exceptions import InputError
from crstack.exposures.bad_values.saturation import stated_limit
from crstack.exposures.input.extensions import (
    UNCERTAINTIES,
    bad_of_file,
    extensions_of,
    twins_of,
    uncertainty_of_file,
    unused_planes,
)
from crstack.exposures.input.given import GivenExposure, Reading
from crstack.exposures.input.headers import cleaned_header, split_wcs
from crstack.files.fits_reading import image_extension, image_in_parts, only_image_of, opened_fits
from crstack.files.headers import inherited_header
from crstack.files.units import check_unit, unit_of_header
from crstack.utils.validation import check_image_shape
from crstack.utils.warn import warn_user
from crstack.utils.words import counted, first_few

__all__ = ["as_given", "read_exposure", "warn_of_cards", "without_mask", "writable_header"]


def read_exposure(
    path: str | os.PathLike,
    ext: int | str | None = None,
    unit: u.UnitBase | str | None = None,
    *,
    dq_ext: int | str | None = None,
    err_ext: int | str | None = None,
    bits: str | int | Mapping[str, int] | None = None,
) -> CCDData:
    """Read one exposure from a FITS file.

    Parameters
    ----------
    path : str or path-like
        FITS file, plain or compressed with gzip, bzip2, xz or fpack.
    ext : int or str, optional
        Extension that holds the image; 0 is the primary. By default that of the only image of the file, or 0.
    unit : `~astropy.units.Unit`, optional
        Unit of the image. Needed if the header has no BUNIT; overrides it.
    dq_ext, err_ext : int or str, optional
        Extensions of data quality and of the uncertainty.
    bits : str, mapping or int, optional
        Which bits of the data quality make a value bad: see `crstack.exposures.quality.bits_of`; each by default.

    Returns
    -------
    ccd : `~astropy.nddata.CCDData`
        With the mask of an extension MASK and the uncertainty of an extension UNCERT too,
        and the header, in which cards of the primary header are inherited.

    Raises
    ------
    InputError
        If the file is missing, not FITS, has no 2-D image in the extension, or its BUNIT states neither ADU nor
        electrons, nor either per second.

    Warns
    -----
    CRStackWarning
        If cards of the header cannot be written to FITS again, and are changed or left out.
    """
    given = _from_file(path, Reading(unit, ext, dq_ext, err_ext, bits))
    warn_of_cards(given.name, given.changes)
    return CCDData(
        given.data,
        unit=given.unit,
        mask=given.mask,
        uncertainty=given.uncertainty,
        meta=given.header,
        wcs=given.wcs,
    )


def writable_header(meta, name):
    """The header of an image, with one warning for all invalid cards: see `cleaned_header`."""
    header, changes = cleaned_header(meta)
    warn_of_cards(name, changes)
    return header


def warn_of_cards(name, changes):
    """Give one warning for all cards that FITS cannot hold."""
    if changes:
        warn_user(f"header of {name} has cards that FITS cannot hold ({len(changes)}): {first_few(changes)}")


def _from_file(path, reading):
    """The exposure in a FITS file."""
    path = os.path.expanduser(path)
    with opened_fits(path) as hdus:
        if reading.ext is None:
            reading = replace(reading, ext=only_image_of(hdus))
        hdu = image_extension(hdus, path, reading.ext, name="ext")
        data = image_in_parts(hdu)
        header = inherited_header(hdus, hdu)
        bad = bad_of_file(hdus, path, reading, data.shape)
        uncertainty = uncertainty_of_file(hdus, path, reading, data.shape)
        unit = reading.unit or unit_of_header(header, path)
        extensions = extensions_of(hdus, reading)
        unused = unused_planes(hdus, reading, data.shape)
        twins = twins_of(hdus, reading.ext)
    if unit is None:
        raise InputError(
            f"unit must be given, because BUNIT is absent in {path}; got None: give unit=u.adu or unit=u.electron, or "
            "write BUNIT into the headers"
        )
    limit = stated_limit(header)
    header, changes = cleaned_header(header)
    header, wcs = split_wcs(header)
    return GivenExposure(
        path,
        data,
        unit,
        bad.mask,
        bad.saturated,
        uncertainty,
        header,
        changes,
        wcs,
        limit,
        unused,
        twins,
        quality=bad.quality,
        extensions=extensions,
    )


def as_given(item, number, reading):
    """One item of the user's list.

    Parameters
    ----------
    item : path, CCDData, NDData, Quantity or array
        An exposure.
    number : int
        Its place in the list, from 1.
    reading : Reading
        How to read it.

    Returns
    -------
    given : GivenExposure
        It shares its arrays with ``item``, so they must not be modified.

    Raises
    ------
    InputError
        If it is of another kind, has no unit, or its parts differ in shape.
    """
    name = f"exposure {number}"
    if isinstance(item, str | os.PathLike):
        return _from_file(item, reading)
    if isinstance(item, NDData):
        return _from_nddata(item, name, reading)
    values, mask = without_mask(item)
    if isinstance(values, u.Quantity):
        unit = _unit_of(values.unit, reading, name)
        values = values.value
    elif isinstance(values, np.ndarray):
        if reading.unit is None:
            raise InputError("unit must be given for plain arrays, such as unit=u.adu; got None")
        unit = reading.unit
    else:
        kind = f"{type(item).__module__.partition('.')[0]}.{type(item).__name__}"
        how = "its values with .compute()" if hasattr(item, "compute") else "its values as a CCDData, with its mask"
        raise InputError(
            "exposure must be a CCDData, NDData, Quantity, array or path; "
            f"got {kind.removeprefix('builtins.')}: give {how}"
        )
    data = _plane(values, name)
    return GivenExposure(name, data, unit, None if mask is None else mask.reshape(data.shape))


def without_mask(array):
    """Values and mask of an array.

    Parameters
    ----------
    array : array_like
        An array, also one of `numpy.ma` or `~astropy.utils.masked.Masked`.

    Returns
    -------
    values : array_like
        Without the mask, otherwise as given.
    mask : `~numpy.ndarray` of bool or None
        True where values are masked; None for an array without a mask.
    """
    if isinstance(array, Masked):
        return array.unmasked, np.asarray(array.mask)
    if isinstance(array, np.ma.MaskedArray):
        return array.data, np.ma.getmaskarray(array)
    return array, None


def _plane(array, name):
    """An array of numbers as (ny, nx); leading axes of length 1 are dropped."""
    array = np.asarray(array)
    if array.ndim < 2 or any(length != 1 for length in array.shape[:-2]):
        hint = ""
        if array.ndim == 3:
            hint = f", {array.shape}: give its planes one by one, each with ccd.data[i]"
        elif array.ndim == 1:
            hint = ": give the image of a spectrum before its extraction"
        raise InputError(f"exposure must be a 2-D image; got {counted(array.ndim, 'dimension')} for {name}{hint}")
    if array.dtype.kind not in "iuf":
        raise InputError(f"exposure must be an image of real numbers; got {array.dtype} for {name}")
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        # scipy has no filters for numbers of half or extended precision
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array.reshape(array.shape[-2:])


def _unit_of(own, reading, name):
    """Unit of an exposure that may have one of its ``own``; `InputError` if another one is given."""
    given = None if reading.unit is None else check_unit("unit", reading.unit)
    if own is None or (given is not None and own == u.dimensionless_unscaled):
        if given is None:
            raise InputError("exposure must have a unit, or unit must be given; got neither")
        return given
    found = check_unit(f"unit of {name}", own)
    if given not in (None, found):
        raise InputError(
            f"unit must be left out for exposures that have one, or be the same; got {given}, and {name} is in "
            f"{found}: if that is wrong, change it in the exposures, as ccd.unit = 'adu'"
        )
    return found


def _from_nddata(ndd, name, reading):
    """The exposure in a CCDData or NDData."""
    unit = _unit_of(ndd.unit, reading, name)
    values, own_mask = without_mask(ndd.data)
    data = _plane(values, name)
    mask = None if ndd.mask is None else _mask_of_nddata(ndd.mask, data.shape, name)
    if own_mask is not None:
        own_mask = own_mask.reshape(data.shape)
        mask = own_mask if mask is None else mask | own_mask
    uncertainty = None if ndd.uncertainty is None else _uncertainty_of_nddata(ndd.uncertainty, data.shape, name)
    meta = getattr(ndd, "meta", None)
    header, changes = cleaned_header(meta)
    limit = stated_limit(meta or {})
    wcs = ndd.wcs
    if wcs is None:
        # CCDData of an array and a header has its coordinates in the header alone
        rest, wcs = split_wcs(header)
        header = header if wcs is None else rest
    bits = None if ndd.mask is None else _bits_of_mask(ndd.mask, data.shape)
    return GivenExposure(name, data, unit, mask, None, uncertainty, header, changes, wcs, limit, mask_bits=bits)


def _mask_of_nddata(mask, shape, name):
    """Mask of an exposure as bool (ny, nx); its own masked values count as masked."""
    given, unknown = without_mask(mask)
    mask = np.asarray(given, dtype=bool)
    mask = mask if unknown is None else mask | unknown
    if mask.ndim:
        mask = mask.reshape(mask.shape[-2:]) if mask.ndim > 2 and mask.size == shape[0] * shape[1] else mask
        check_image_shape(f"mask of {name}", mask.shape, shape)
    return np.broadcast_to(mask, shape)


def _bits_of_mask(mask, shape):
    """The mask of an exposure as an image of integers (ny, nx); None if it holds others."""
    bits = np.asarray(without_mask(mask)[0])
    return bits.reshape(shape) if bits.dtype.kind in "iu" and bits.size == shape[0] * shape[1] else None


def _uncertainty_of_nddata(uncertainty, shape, name):
    """Uncertainty of an exposure, of the same class, with an array (ny, nx) that is NaN where it is masked."""
    if isinstance(uncertainty, UnknownUncertainty) or type(uncertainty) not in UNCERTAINTIES.values():
        raise InputError(
            f"uncertainty must be a standard deviation, variance or inverse variance; got {type(uncertainty).__name__}"
        )
    array, missing = without_mask(uncertainty.array)
    array = np.asarray(array)
    if missing is not None:
        array = np.where(missing, np.nan, array)
    if array.ndim > 2 and array.size == shape[0] * shape[1]:
        array = array.reshape(shape)
    check_image_shape(f"uncertainty of {name}", array.shape, shape)
    return type(uncertainty)(array, unit=uncertainty.unit)
