"""Images written to a plain FITS file, without the checks of astropy, which take longer than a small image."""

import numpy as np
from astropy.io import fits

from crstack.utils.threads import row_bands

__all__ = ["are_plain", "write_plain"]

#: length of the blocks of a FITS file, in bytes
BLOCK = 2880
#: number of values that are brought into the byte order of the file at a time
VALUES_AT_ONCE = 1 << 20


def are_plain(hdus):
    """Whether `write_plain` can write the HDUs: images of float32, float64, uint8 and signed integers, without a scale.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        Any.

    Returns
    -------
    plain : bool
    """
    return all(type(hdu) in (fits.PrimaryHDU, fits.ImageHDU) and _is_plain(hdu) for hdu in hdus)


def _is_plain(hdu):
    data = hdu.data
    if data is None or data.dtype == np.uint8:
        return True  # bytes are written as they are, also those that BSCALE explains
    scaled = "BSCALE" in hdu.header or "BZERO" in hdu.header
    return not scaled and data.dtype.kind in "if" and data.dtype.itemsize > 1


def write_plain(path, hdus):
    """Write images as they are. Their headers must be valid.

    Parameters
    ----------
    path : path-like
        File to write; replaced if it exists.
    hdus : `~astropy.io.fits.HDUList`
        See `are_plain`. EXTEND is set as it must be.
    """
    hdus.update_extend()
    with open(path, "wb") as file:
        for hdu in hdus:
            file.write(hdu.header.tostring().encode("ascii"))
            if hdu.data is not None:
                _write_data(file, hdu.data)


def _write_data(file, data):
    """Write an array in big-endian byte order, a few rows at a time, and fill up the last block."""
    rows = data.reshape(-1, data.shape[-1])
    for band in row_bands(*rows.shape, VALUES_AT_ONCE):
        some = rows[band]
        file.write(np.ascontiguousarray(some, some.dtype.newbyteorder(">")).data)
    file.write(bytes(-data.nbytes % BLOCK))
