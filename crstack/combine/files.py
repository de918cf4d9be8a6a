"""FITS files of combined images, written and read."""

import os
from collections.abc import Sequence

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, VarianceUncertainty

from crstack.combine.result import COMBINATIONS, Combination, PixelFlag, possible_combinations
from crstack.exceptions import InputError
from crstack.exposures.input.headers import cleaned_header, split_wcs, wcs_cards
from crstack.exposures.input.reading import writable_header
from crstack.files.fits_reading import image_of, opened_fits
from crstack.files.fits_writing import ending_of, in_byte_order, write_fits
from crstack.files.headers import CHIP, chip_hdus
from crstack.files.history import add_history
from crstack.files.units import unit_of_header
from crstack.masks import MaskSet
from crstack.utils.validation import check_choice

__all__ = ["combination_hdulist", "combination_name", "read", "requested_combinations", "write_combination"]

#: extensions of a file of a combined image, after the image itself
EXTENSIONS = ("VARIANCE", "MAP", "MASK", "FLAGS")


def combination_hdulist(combination: Combination, history: Sequence[str] = ()) -> fits.HDUList:
    """A combined image as FITS.

    Parameters
    ----------
    combination : `~crstack.combine.Combination`
        The image.
    history : sequence of str, optional
        Lines for HISTORY, added to those of the image that are others.

    Returns
    -------
    hdus : `~astropy.io.fits.HDUList`
        The primary image is float32, with the header of the first exposure. VARIANCE is float32. MAP is int16: the
        number of exposures in each value, and 0 where there is no clean measurement. MASK is uint8, and 1 where there
        is none. FLAGS is uint8, with the bits of `PixelFlag`. Each has the WCS of the first exposure.
    """
    return _hdulist(combination, history, lambda image: image)


def _hdulist(combination, history, arranged):
    """The file of a combined image; ``arranged`` is a function of each array of numbers."""
    ccd = combination.ccd
    wcs = wcs_cards(ccd.wcs)
    data, variance, count = (
        arranged(one.astype(kind, copy=False))
        for one, kind in ((ccd.data, np.float32), (ccd.uncertainty.array, np.float32), (combination.count, np.int16))
    )
    primary = fits.PrimaryHDU(data, writable_header(ccd.meta, "the combined image"))
    primary.header["BUNIT"] = ccd.unit.to_string()
    primary.header["CRCOMBIN"] = (combination.name, "combination method of crstack")
    variance = fits.ImageHDU(variance, name="VARIANCE")
    variance.header["BUNIT"] = ((ccd.unit**2).to_string(), "variance of the combined value")
    variance.header["UTYPE"] = ("VarianceUncertainty", "kind of uncertainty, as astropy names it")
    count = fits.ImageHDU(count, name="MAP")
    mask = fits.ImageHDU(np.asarray(ccd.mask, dtype=np.uint8), name="MASK")
    flags = fits.ImageHDU(combination.flags, name="FLAGS")
    for flag in PixelFlag:
        flags.header[f"FLAG{flag.value}"] = (flag.name, f"meaning of {flag.value}")
    hdus = fits.HDUList([primary, variance, count, mask, flags])
    for hdu in hdus:
        hdu.header.extend(wcs, update=True, useblanks=False)
    add_history(primary.header, history)
    return hdus


def write_combination(
    path: str | os.PathLike, combination: Combination, history: Sequence[str] = (), *, overwrite: bool = False
) -> None:
    """Write a combined image to a FITS file, completely or not at all.

    Parameters
    ----------
    path : str or path-like
        ``.fits``; with ``.fits.gz`` the file, and with ``.fits.fz`` each image of it, is
        compressed without loss.
    combination : `~crstack.combine.Combination`
        The image.
    history : sequence of str, optional
        Lines for HISTORY.
    overwrite : bool, optional
        Replace the file if it exists.

    Raises
    ------
    InputError
        If this is no Combination, the file exists and ``overwrite`` is not set, an exposure was read from it, or the
        directory cannot be written.
    """
    if not isinstance(combination, Combination):
        raise InputError(
            "combination must be a Combination, such as stack.combine(name, full_output=True); "
            f"got {type(combination).__name__}"
        )
    # each extension is made once only
    write_fits(path, _hdulist(combination, history, in_byte_order), headers_valid=True, overwrite=overwrite)


def read(path: str | os.PathLike, *, chip: str | None = None) -> Combination:
    """Read a combined image written by `write_combination` or by the command.

    Parameters
    ----------
    path : str or path-like
        FITS file, compressed or not.
    chip : str, optional
        Name of the chip, for a file of a mosaic.

    Returns
    -------
    combination : Combination
        With data, variance, mask, count, flags, header and WCS.

    Raises
    ------
    InputError
        If the file is missing, not FITS, or not a combined image of crstack.

    Examples
    --------
    >>> import crstack
    >>> combination = crstack.read("combined_meancr2.fits")  # doctest: +SKIP
    """
    with opened_fits(path, "combined image") as every:
        hdus = chip_hdus(every, chip, path)
        first = next((hdu for hdu in hdus if hdu.is_image and hdu.shape), hdus[0])
        name = first.header.get("CRCOMBIN")
        missing = [one for one in EXTENSIONS if one not in hdus]
        if name not in COMBINATIONS or missing or len(first.shape) != 2:
            lacks = f"no {', '.join(missing)}" if missing else f"CRCOMBIN = {name!r}"
            other = ": MaskSet.read reads masks" if "MEDIANCR" in hdus else ""
            raise InputError(f"combined image must be a file that crstack has written; got {path} with {lacks}{other}")
        data = image_of(first).astype(np.float32, copy=False)
        planes = {one: image_of(hdus[one]) for one in EXTENSIONS}
        header = first.header.copy()
    for one, plane in planes.items():
        if plane.shape != data.shape:
            raise InputError(f"{one} of {path} must have the shape {data.shape} of the image; got {plane.shape}")
    unit = unit_of_header(header, path)
    if unit is None:
        raise InputError(f"BUNIT of {path} must state the unit of the combined image; got none")
    header, wcs = split_wcs(cleaned_header(header)[0])
    header.remove("CRCOMBIN")
    header.remove(CHIP, ignore_missing=True)
    uncertainty = VarianceUncertainty(planes["VARIANCE"].astype(np.float32, copy=False), unit=unit**2)
    mask = planes["MASK"] != 0
    ccd = CCDData(data, unit=unit, mask=mask, uncertainty=uncertainty, meta=header, wcs=wcs)
    return Combination(name, ccd, planes["MAP"].astype(np.int16), planes["FLAGS"].astype(np.uint8))


def combination_name(name: str, compression: str = "none") -> str:
    """Name of the file of a combination, such as "combined_meancr2.fits".

    Parameters
    ----------
    name : str
        One of ``COMBINATIONS``.
    compression : {"none", "gzip", "fpack"}, optional
        Makes it end in ``.fits``, ``.fits.gz`` or ``.fits.fz``.

    Returns
    -------
    name : str
        Name of the file.
    """
    check_choice("combination", name, COMBINATIONS)
    return f"combined_{name}{ending_of(compression)}"


def requested_combinations(names: Sequence[str] | None, masks: MaskSet | None) -> tuple[str, ...]:
    """Checked names of the combinations to make.

    Parameters
    ----------
    names : sequence of str or None
        Of ``COMBINATIONS``; None for all that can be made.
    masks : MaskSet or None
        What is known of hits.

    Returns
    -------
    names : tuple of str
        In the order of ``COMBINATIONS``, each once.

    Raises
    ------
    InputError
        If a name is unknown, or cannot be made with these masks.
    """
    possible = possible_combinations(masks)
    if names is None:
        return possible
    if isinstance(names, str):
        names = [names]
    for name in names:
        check_choice("combination", name, COMBINATIONS)
        if name not in possible:
            raise InputError(f"masks must be those of the joint decision for {name}; got masks without probabilities")
    return tuple(name for name in COMBINATIONS if name in names)
