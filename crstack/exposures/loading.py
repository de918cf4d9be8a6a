"""Conversion of a list of exposures to `Exposures`."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import astropy.units as u
import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.builder import Builder
from crstack.exposures.checks import checked
from crstack.exposures.cube import Exposures
from crstack.exposures.input.given import Reading
from crstack.exposures.input.instrument import Instrument
from crstack.exposures.input.items import exposure_items
from crstack.exposures.input.place import choose_place
from crstack.exposures.input.reading import as_given
from crstack.utils.validation import check_boolean
from crstack.utils.warn import warn_user

__all__ = ["load_exposures"]

#: largest number of exposures with which crstack is tested
MOST_TESTED = 25


def load_exposures(
    items: str | os.PathLike | Iterable[Any],
    *,
    gain: Any = None,
    readnoise: Any = None,
    bias: Any = None,
    unit: u.UnitBase | str | None = None,
    ext: int | str | None = None,
    exptime: Any = None,
    saturation: Any = None,
    trim: Any = None,
    dq_ext: int | str | None = None,
    err_ext: int | str | None = None,
    bits: str | int | Mapping[str, int] | None = None,
    drop_unusable: bool = False,
) -> Exposures:
    """Read, check and bias-subtract a list of exposures.

    Parameters
    ----------
    items : list, path with wildcards or ImageFileCollection
        CCDData, NDData, Quantity images, plain 2-D arrays or paths of FITS files, all of one shape and unit. An
        iterator such as ``ImageFileCollection.ccds()`` is accepted too.
    gain, readnoise : `~astropy.units.Quantity`, "header:NAME" or Keyword
        Scalar or image (ny, nx), see `NoiseModel`; or a keyword of the header, see
        `~crstack.exposures.Keyword`. Images of these, of the bias and of the saturation may be a CCDData.
    bias : `~astropy.units.Quantity`, "header:NAME", Keyword or str, optional
        Scalar or image (ny, nx), subtracted from each exposure; nothing by default. A list of N of these has one for
        each exposure. With a section such as
        "[2049:2080,1:4096]", or a keyword that holds one ("header:BIASSEC"), the median of each exposure in this
        section is subtracted.
    unit : `~astropy.units.Unit`, optional
        Unit of arrays and of files, over their BUNIT: adu, electron, or either per second.
    ext : int or str, optional
        FITS extension of the images. By default that of the only image of each file, or 0.
    exptime : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Exposure time, one for all or one each. By default EXPTIME, EXPOSURE, XPOSURE, EFFEXPTM
        or ITIME of the headers. Needed for exposures in a unit per second.
    saturation : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Level, bias included, from which values are bad; or a list of N.
    trim : str or Keyword, optional
        Section to keep, such as "[1:2048,1:4096]" or "header:TRIMSEC".
    dq_ext, err_ext : int or str, optional
        Extensions of data quality and of the uncertainty in the files.
    bits : str, mapping or int, optional
        Bits of the data quality: see `crstack.exposures.quality.bits_of`. By default any bit makes a value bad.
    drop_unusable : bool, optional
        Continue without exposures that hold one value everywhere, instead of raising an error, and without those of
        another field or shifted too far. By default, the latter keep their place without their values.

    Returns
    -------
    exposures : Exposures
        Cube (N, ny, nx) with the bias subtracted, bad values, unit, noise and headers.

    Raises
    ------
    InputError
        If there are too few exposures, if shapes, units or values disagree, or if an exposure is blank or given twice.

    Warns
    -----
    CRStackWarning
        If the files have data quality or uncertainties that are not read. If part of an exposure is blank. If an
        exposure is of another field, or without light. If the scatter of the exposures disagrees with the noise. If
        values seem saturated and ``saturation`` is not given. If uncertainties are 0. If exposure times differ.
    """
    check_boolean("drop_unusable", drop_unusable)
    reading = Reading(unit, ext, dq_ext, err_ext, bits)
    values = Instrument(gain, readnoise, bias, saturation, exptime, trim)
    listed = exposure_items(items)
    if len(listed) > MOST_TESTED:
        warn_user(
            f"crstack is tested with up to {MOST_TESTED} exposures; got {len(listed)}: time and memory grow with their "
            "number. Consider a combination of parts of the list"
        )
    _refuse_extensions(listed, reading)
    choose_place(listed, reading, values.trim)
    builder = Builder(values, len(listed))
    for number, item in enumerate(listed, start=1):
        builder.add(as_given(item, number, reading), number)
    exposures = builder.exposures(drop_unusable)
    return checked(exposures, bias_given=_not_zero(bias), drop=drop_unusable, read=builder.as_read())


def _refuse_extensions(listed, reading):
    """Raise `InputError` for extensions of files where no exposure is one."""
    given = [name for name in ("dq_ext", "err_ext") if getattr(reading, name) is not None]
    if given and not any(isinstance(one, str | os.PathLike) for one in listed):
        own = {"dq_ext": "the mask", "err_ext": "the uncertainty"}[given[0]]
        raise InputError(
            f"{given[0]} must be left out for exposures that are no files; got {getattr(reading, given[0])!r} with a "
            f"{type(listed[0]).__name__}: set {own} of each CCDData"
        )


def _not_zero(bias):
    """Whether a bias is given, and is not 0."""
    return bias is not None and (not isinstance(bias, u.Quantity) or bool(np.any(bias.value)))
