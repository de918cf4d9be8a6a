"""One exposure, from a FITS file, an array or an object of astropy, as a CCDData."""

import os
import warnings

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty

from crstack._fits import image_extension, image_of, inherited_header, opened_fits, unit_of_header
from crstack._validation import check_image_shape
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures.headers import cleaned_header, split_wcs

__all__ = ["as_ccd", "read_exposure", "writable_header"]

#: kinds of uncertainty by UTYPE, as `~astropy.nddata.CCDData.write` has it
UNCERTAINTIES = {kind.__name__: kind for kind in (StdDevUncertainty, VarianceUncertainty, InverseVariance)}


def read_exposure(path, ext=0, unit=None):
    """Read one exposure from a FITS file.

    Parameters
    ----------
    path : str or path-like
        FITS file, plain or compressed with gzip, bzip2 or fpack.
    ext : int or str, optional
        Extension that holds the image; 0 is the primary.
    unit : `~astropy.units.Unit`, optional
        Unit of the image. Needed if the header has no BUNIT; overrides it.

    Returns
    -------
    ccd : `~astropy.nddata.CCDData`
        With the mask of an extension MASK, the uncertainty of an extension UNCERT,
        and the header, in which cards of the primary header are inherited.

    Raises
    ------
    InputError
        If the file is missing, not FITS, has no 2-D image there, or its BUNIT
        states neither ADU nor electrons, nor either per second.

    Warns
    -----
    CRStackWarning
        If cards of the header cannot be written to FITS again, and are changed or left out.
    """
    path = os.path.expanduser(path)
    with opened_fits(path) as hdus:
        hdu = image_extension(hdus, path, ext)
        data = image_of(hdu)
        header = inherited_header(hdus, hdu)
        mask = _plane_of(hdus, "MASK", path, data.shape)
        uncertainty = _plane_of(hdus, "UNCERT", path, data.shape)
        if uncertainty is not None:
            kind = UNCERTAINTIES.get(hdus["UNCERT"].header.get("UTYPE"), StdDevUncertainty)
            uncertainty = kind(uncertainty)
    unit = unit or unit_of_header(header, path)
    if unit is None:
        raise InputError(f"unit must be given for {path}, which has no BUNIT, such as unit=u.adu; got None")
    header, wcs = split_wcs(writable_header(header, path))
    mask = None if mask is None else mask.astype(bool)
    return CCDData(data, unit=unit, mask=mask, uncertainty=uncertainty, meta=header, wcs=wcs)


def _plane_of(hdus, name, path, shape):
    """Data of an extension that goes with the image, or None if there is none."""
    if name not in hdus:
        return None
    data = image_of(image_extension(hdus, path, name))
    check_image_shape(f"{name} of {path}", data.shape, shape)
    return data


def writable_header(meta, name):
    """The header of an exposure, with one warning for all that FITS could not hold: see `cleaned_header`."""
    header, changes = cleaned_header(meta)
    if changes:
        shown = ", ".join(changes[:5]) + (f" and {len(changes) - 5} more" if len(changes) > 5 else "")
        warnings.warn(
            f"header of {name} has cards that FITS cannot hold ({len(changes)}): {shown}", CRStackWarning, stacklevel=3
        )
    return header


def as_ccd(item, name, ext=0, unit=None):
    """Turn one item of the user's list into a CCDData or NDData.

    Parameters
    ----------
    item : path, CCDData, NDData, Quantity or array
        An exposure.
    name : str
        What to call it in messages.
    ext, unit
        As in `read_exposure`.

    Returns
    -------
    ccd : `~astropy.nddata.CCDData`
        Nothing of it may be changed: it may share its arrays with ``item``.

    Raises
    ------
    InputError
        If it is nothing of the kind, or has no unit.
    """
    if isinstance(item, str | os.PathLike):
        return read_exposure(item, ext, unit)
    if isinstance(item, NDData):
        if item.unit is None and unit is None:
            raise InputError("exposure must have a unit, or unit must be given; got neither")
        return item
    if isinstance(item, u.Quantity):
        return CCDData(item.value, unit=item.unit)
    if isinstance(item, np.ndarray):
        if unit is None:
            raise InputError("unit must be given for plain arrays, such as unit=u.adu; got None")
        return CCDData(item, unit=unit)
    raise InputError(f"exposure must be a CCDData, NDData, array or path; got {type(item).__name__}")
