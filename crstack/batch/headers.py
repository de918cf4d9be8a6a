"""Keywords of the FITS files of a directory."""

import re
from pathlib import Path

from astropy.io import fits

from crstack.exceptions import InputError
from crstack.exposures.input.products import without_products
from crstack.files.decompressed import ENDING
from crstack.files.fits_reading import image_extension, opened_fits
from crstack.files.headers import inherited_header
from crstack.utils.warn import warn_user
from crstack.utils.words import first_few

__all__ = ["header_of", "headers_of_directory", "text_of"]

FITS_NAME = re.compile(f".*{ENDING}", re.IGNORECASE)


def headers_of_directory(directory, keywords, ext=None):
    """Read keywords of the FITS files of a directory, in the order of their names.

    Parameters
    ----------
    directory : path-like
        The directory; others inside it are not searched.
    keywords : iterable of str
        Keywords, in capitals.
    ext : int or str, optional
        Extension of the image; of another kind, such as a list of chips, it is not used.

    Returns
    -------
    headers : list of dict
        For each file its name, ``"file"``, and the value of each keyword; None where it is absent. The keywords are
        those of the extension, and of the primary header where the extension lacks them. Without ``ext`` or without
        such an extension, they are those of the first image; without an image, those of the primary header.

    Raises
    ------
    InputError
        If there is no FITS file, or none that can be read.

    Warns
    -----
    CRStackWarning
        If files cannot be read, or are products of crstack, which are left out.
    """
    paths = sorted(one for one in Path(directory).iterdir() if FITS_NAME.fullmatch(one.name) and one.is_file())
    if not paths:
        raise InputError(f"directory of exposures must hold FITS files; got none in {directory}")
    names = [one.name for one in without_products(paths)]
    headers, unread = [], []
    for name in names:
        try:
            header = header_of(Path(directory) / name, ext)
        except InputError:
            unread.append(name)
            continue
        headers.append({"file": name, **{key: _value(header.get(key)) for key in keywords}})
    if unread:
        warn_user(f"files without a readable FITS header are left out: {first_few(unread)}")
    if not headers:
        raise InputError(f"directory of exposures must hold FITS files; got {len(unread)} that cannot be read")
    for key in keywords:
        _make_alike(headers, key)
    return headers


def header_of(path, ext=None):
    """Header of the image of a file: see `headers_of_directory`."""
    with opened_fits(path, checksum=False) as hdus:
        for number in dict.fromkeys((ext if isinstance(ext, int | str) else None, None)):
            try:
                return inherited_header(hdus, image_extension(hdus, path, number))
            except InputError:  # no such extension, or no image
                continue
        return hdus[0].header.copy()


def _value(value):
    """Value of a card; None where it has none."""
    return None if isinstance(value, fits.card.Undefined) else value


def _make_alike(headers, key):
    """Make the numbers of a keyword floats where one of them is: 300 and 300.0 are one value."""
    numbers = [one for one in headers if isinstance(one[key], int | float) and not isinstance(one[key], bool)]
    if any(isinstance(one[key], float) for one in numbers):
        for one in numbers:
            one[key] = float(one[key])


def text_of(value):
    """Value of a keyword as text; empty where it is absent."""
    return "" if value is None else str(value)
