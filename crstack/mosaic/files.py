"""A FITS file with all chips, joined from the files of single chips."""

import os
from collections.abc import Iterable

from astropy.io import fits

from crstack.exposures.input.headers import cleaned_header
from crstack.files.fits_reading import opened_fits
from crstack.files.headers import CHIP
from crstack.mosaic.chips import Chip

__all__ = ["copied", "joined_chips", "primary_of"]


def primary_of(path: str | os.PathLike) -> fits.Header:
    """The primary header of a file, as FITS can hold it.

    Parameters
    ----------
    path : str or path-like
        FITS file.
    """
    with opened_fits(path, "images", checksum=False) as hdus:
        return cleaned_header(hdus[0].header)[0]


def copied(hdu: fits.ImageHDU) -> fits.ImageHDU:
    """A copy of an extension that keeps BSCALE and BZERO, which `~astropy.io.fits.ImageHDU.copy` removes.

    Parameters
    ----------
    hdu : `~astropy.io.fits.ImageHDU`
        The extension.
    """
    new = hdu.copy()
    for keyword in ("BSCALE", "BZERO"):
        if keyword in hdu.header and keyword not in new.header:
            new.header[keyword] = hdu.header[keyword]
    return new


def joined_chips(primary: fits.Header, parts: Iterable[tuple[Chip, fits.HDUList]]) -> fits.HDUList:
    """Join the files of all chips.

    Parameters
    ----------
    primary : `~astropy.io.fits.Header`
        Primary header.
    parts : iterable of (Chip, `~astropy.io.fits.HDUList`)
        The file of each chip, such as that of `~crstack.combine.files.combination_hdulist`.

    Returns
    -------
    hdus : `~astropy.io.fits.HDUList`
        A primary without data, then the extensions of each chip. The image of a chip has the EXTNAME and EXTVER of the
        chip. The EXTVER of its other extensions is the number of the chip, from 1. CRCHIP is the name of the chip. If
        the primary of a chip has no data, its cards are moved to the first extension of the chip.
    """
    hdus = fits.HDUList([fits.PrimaryHDU(header=primary)])
    names = []
    for order, (chip, part) in enumerate(parts, start=1):
        names.append(chip.name)
        moved = fits.Header() if part[0].data is not None else cleaned_header(part[0].header)[0]
        for number, hdu in enumerate(part):
            if hdu.data is None:
                continue
            if number == 0:
                new = fits.ImageHDU(hdu.data, cleaned_header(hdu.header)[0], name=chip.extname, ver=chip.extver)
                new.header["BUNIT"] = hdu.header["BUNIT"]
            else:
                new = copied(hdu)
                new.ver = order
            new.header.extend(moved.cards, unique=True)
            moved = fits.Header()
            new.header[CHIP] = (chip.name, "chip of the mosaic")
            hdus.append(new)
    hdus[0].header["NCHIPS"] = (len(names), "number of chips")
    return hdus
