"""FITS files of combined images."""

import numpy as np
from astropy.io import fits

from crstack._files import atomic_path, header_line

__all__ = ["combination_hdulist", "write_combination"]


def combination_hdulist(combination, history=()):
    """A combined image as FITS.

    Parameters
    ----------
    combination : `~crstack.combine.Combination`
        The image.
    history : sequence of str, optional
        Lines for HISTORY.

    Returns
    -------
    hdus : `~astropy.io.fits.HDUList`
        Primary image (float32, header and WCS of the first exposure), VARIANCE
        (float32) and MAP (int16, exposures in each value, 0 where there is no
        clean measurement).
    """
    ccd = combination.ccd
    primary = ccd.to_hdu(hdu_mask=None, hdu_uncertainty=None, hdu_flags=None)[0]
    primary.data = primary.data.astype(np.float32, copy=False)
    primary.header["CRCOMBIN"] = (combination.name, "combination method of crstack")
    for line in history:
        primary.header.add_history(header_line(line))
    variance = fits.ImageHDU(ccd.uncertainty.array.astype(np.float32, copy=False), name="VARIANCE")
    variance.header["BUNIT"] = (f"{ccd.unit}2", "variance of the combined value")
    count = fits.ImageHDU(combination.count.astype(np.int16, copy=False), name="MAP")
    return fits.HDUList([primary, variance, count])


def write_combination(path, combination, history=()):
    """Write a combined image to a FITS file, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        Replaced if it exists.
    combination : `~crstack.combine.Combination`
        The image.
    history : sequence of str, optional
        Lines for HISTORY.

    Raises
    ------
    InputError
        If the directory cannot be written.
    """
    with atomic_path(path) as temporary:
        combination_hdulist(combination, history).writeto(temporary, overwrite=True, output_verify="silentfix")
