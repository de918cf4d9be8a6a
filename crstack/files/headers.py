"""Headers of the extensions of a FITS file, and the extensions of one chip."""

import re

from astropy.io import fits

from crstack.exceptions import InputError

__all__ = ["CHIP", "NOT_INHERITED", "chip_hdus", "inherited_header"]

#: keyword of the name of a chip in files of mosaics
CHIP = "CRCHIP"

#: keywords of a primary header that do not describe the images in the extensions
NOT_INHERITED = re.compile(
    "SIMPLE|BITPIX|NAXIS[0-9]*|EXTEND|NEXTEND|GROUPS|PCOUNT|GCOUNT|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|DATAMIN|DATAMAX|"
    "EXTNAME|EXTVER|EXTLEVEL|INHERIT|END"
)


def inherited_header(hdus, hdu):
    """A copy of an extension's header with the cards of the primary header that it lacks.

    With INHERIT = F nothing is copied. Cards about the data of the primary, and about the structure of the file, are
    never copied.
    """
    header = hdu.header.copy()
    primary = hdus[0].header
    if primary is not hdu.header and header.get("INHERIT", True) is not False:
        cards = [card for card in primary.cards if not NOT_INHERITED.fullmatch(card.keyword)]
        header.extend(fits.Header(cards, copy=True), unique=True, useblanks=False)
    return header


def chip_hdus(hdus, chip, path):
    """The extensions of one chip of a file of a mosaic, as a file of this chip alone.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.
    chip : str or None
        Name of the chip; None for a file that is no mosaic.
    path : path-like
        Its name, for messages.

    Returns
    -------
    hdus : `~astropy.io.fits.HDUList`

    Raises
    ------
    InputError
        If there is no such chip, or a file of several chips comes without ``chip``.
    """
    names = list(dict.fromkeys(hdu.header[CHIP] for hdu in hdus if CHIP in hdu.header))
    if not names and chip is None:
        return hdus
    if chip not in names:
        raise InputError(f"chip must be one of those of {path} ({', '.join(names) or 'none'}); got {chip!r}")
    own = [hdu for hdu in hdus if hdu.header.get(CHIP) == chip]
    cards = [card for card in own[0].header.cards if not NOT_INHERITED.fullmatch(card.keyword)]
    return fits.HDUList([fits.PrimaryHDU(header=fits.Header(cards, copy=True)), *own])
