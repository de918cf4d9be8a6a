"""FITS files, plain or compressed without loss, written completely or not at all."""

import os
from pathlib import Path

import numpy as np
from astropy.io import fits

from crstack.exceptions import InputError
from crstack.files.whole import atomic_path, check_not_exposure
from crstack.utils.memory import in_files
from crstack.utils.validation import check_boolean, check_choice

__all__ = ["COMPRESSIONS", "compressed", "ending_of", "in_byte_order", "write_fits"]

#: endings of file names by compression: gzip of the whole file, or of each row in a FITS file of compressed images
COMPRESSIONS = {"none": ".fits", "gzip": ".fits.gz", "fpack": ".fits.fz"}


def ending_of(compression):
    """Ending of a file name for one of "none", "gzip" and "fpack"."""
    return COMPRESSIONS[check_choice("compression", compression, tuple(COMPRESSIONS))]


def write_fits(path, hdus, *, inputs_checked=False, headers_valid=False, overwrite=True):
    """Write a FITS file; the ending of its name chooses the compression.

    Parameters
    ----------
    path : str or path-like
        ``.fits``, ``.fits.gz`` or ``.fits.fz``. Compression keeps every bit of the values.
    hdus : `~astropy.io.fits.HDUList`
        The data to write; not modified.
    inputs_checked : bool, optional
        Whether the caller has compared the path with its inputs. Otherwise the file of an exposure that was read in
        this process is refused.
    headers_valid : bool, optional
        Whether all cards were made here, or checked. Otherwise they are checked, and invalid ones are corrected.
    overwrite : bool, optional
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If the path is that of an exposure, the file exists and ``overwrite`` is False, the directory cannot be written,
        or the ending of the name is unknown.
    """
    path = Path(path)
    if not inputs_checked:
        check_not_exposure(path)
    if not check_boolean("overwrite", overwrite) and os.path.exists(path):
        raise InputError(f"path must be that of no existing file; got {path}: overwrite=True replaces it")
    if path.suffix.lower() in (".bz2", ".zip", ".xz", ".z"):
        raise InputError(f"name of a FITS file must end in .fits, .fits.gz or .fits.fz; got {path.name}")
    hdus = compressed(hdus) if path.suffix.lower() == ".fz" else _with_byte_order(hdus)
    with atomic_path(path) as temporary:
        # the check takes longer than to write a small image
        hdus.writeto(temporary, overwrite=True, output_verify="ignore" if headers_valid else "silentfix")


def in_byte_order(image):
    """An image (array) whose numbers have the byte order of FITS, big-endian; itself where memory is limited.

    astropy would swap the bytes of the array itself, and swap them back after writing. During this, other threads
    cannot use the array, and they wait for the lock of the interpreter.
    """
    if in_files() or image.dtype.kind not in "if":
        return image
    return image.astype(image.dtype.newbyteorder(">"), copy=False)


def _with_byte_order(hdus):
    """The HDUs of a file, with arrays of images that are `in_byte_order`."""

    def with_order(hdu):
        scaled = "BSCALE" in hdu.header or "BZERO" in hdu.header
        data = None if scaled or type(hdu) not in (fits.PrimaryHDU, fits.ImageHDU) else hdu.data
        ordered = None if data is None else in_byte_order(data)
        return hdu if ordered is data else type(hdu)(ordered, hdu.header)

    return fits.HDUList([with_order(hdu) for hdu in hdus])


def compressed(hdus):
    """Images of a file as compressed images (GZIP_2), without loss.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        Not changed.

    Returns
    -------
    hdus : `~astropy.io.fits.HDUList`
        As fpack makes it: a primary without data, then the image of the primary, if it has one, and the extensions.
    """
    made = []
    for number, hdu in enumerate(hdus):
        if isinstance(hdu, fits.BinTableHDU) and hdu.header.get("ZIMAGE", False):
            made.append(hdu)  # read as it is stored: compressed already
            continue
        if not hdu.is_image or hdu.data is None:
            made.append(hdu.copy())
            continue
        if number == 0:
            made.append(fits.PrimaryHDU())
        made.append(_compressed_image(hdu))
    return fits.HDUList(made)


def _compressed_image(hdu):
    """An image extension, compressed without loss."""
    header = hdu.header.copy()
    if "BSCALE" in header:
        # bytes with a scale: compressed images of astropy do not keep the scale
        data = (hdu.data * np.float32(header.pop("BSCALE")) + np.float32(header.pop("BZERO", 0.0))).astype(np.float32)
    else:
        data = np.ascontiguousarray(hdu.data)
    return fits.CompImageHDU(data, header, name=hdu.name, compression_type="GZIP_2", quantize_level=0.0)
