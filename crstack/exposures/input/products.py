"""Files that crstack wrote, among those that are given as exposures."""

import re
import warnings
from pathlib import Path

from astropy.io import fits

from crstack.files.decompressed import opened_plain
from crstack.files.fits_reading import BROKEN
from crstack.utils.warn import warn_user
from crstack.utils.words import first_few

__all__ = ["product_kind", "warn_of_products", "without_products"]

#: keywords of the products of crstack, and the kind of each
MARKS = {"CRCOMBIN": "combined image", "CRSOURCE": "exposure with replaced hits", "NPMASKED": "set of masks"}

#: the line of HISTORY of a combined image, also of one that was written as a CCDData, without these keywords
COMBINED = re.compile(r"crstack \S+: \w+ of \d+ exposures")

#: number of extensions whose headers are searched, up to the first that has data
SEARCHED = 3

#: how a FITS file begins
FIRST_CARD = b"SIMPLE  ="


def product_kind(path, by_history=True):
    """Kind of the product of crstack in a file.

    Parameters
    ----------
    path : path-like
        A file of any kind.
    by_history : bool, optional
        Whether a combined image is recognised by HISTORY alone, too. `~astropy.nddata.CCDData.write` gives it an
        extension with its uncertainty, so its noise is known.

    Returns
    -------
    kind : str or None
        Such as "combined image"; None for all other files.
    """
    try:
        quiet = warnings.catch_warnings(action="ignore")
        with quiet, Path(path).open("rb") as file, opened_plain(file) as plain:
            if plain.read(len(FIRST_CARD)) != FIRST_CARD:
                return None
            plain.seek(0)
            for _ in range(SEARCHED):
                header = fits.Header.fromfile(plain)
                for keyword, kind in MARKS.items():
                    if keyword in header:
                        return kind
                if by_history and any(COMBINED.match(str(line)) for line in header.get("HISTORY", ())):
                    return MARKS["CRCOMBIN"]
                if header.get("NAXIS"):
                    return None  # data follow
    except BROKEN:  # also where there is no further header
        return None
    return None


def without_products(paths):
    """The files of a pattern without those that crstack wrote.

    Parameters
    ----------
    paths : list of path-like
        Files that match a pattern.

    Returns
    -------
    paths : list
        All of them if crstack wrote every file: the user then means products.

    Warns
    -----
    CRStackWarning
        If files are left out.
    """
    kinds = [product_kind(path) for path in paths]
    if None not in kinds or not any(kinds):
        return list(paths)
    left_out = [(path, kind) for path, kind in zip(paths, kinds, strict=True) if kind is not None]
    warn_user(f"products of crstack among the exposures are left out: {_in_words(left_out)}")
    return [path for path, kind in zip(paths, kinds, strict=True) if kind is None]


def warn_of_products(paths):
    """Warn of files that crstack wrote and that are given as exposures by name."""
    found = [(path, kind) for path in paths if (kind := product_kind(path, by_history=False)) is not None]
    if found:
        warn_user(
            f"exposures should be those of the detector; got products of crstack: {_in_words(found)}. "
            "Their noise is not that of gain and read noise: give the uncertainty of each, or leave them out"
        )


def _in_words(found):
    """The files found, by kind, as words."""
    parts = []
    for kind in dict.fromkeys(kind for _, kind in found):
        names = [str(path) for path, one in found if one == kind]
        parts.append(f"{kind} {first_few(names)}")
    return "; ".join(parts)
