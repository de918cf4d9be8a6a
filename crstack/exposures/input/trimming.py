"""Shape of an exposure after its edges are cut off."""

import os

from crstack.exposures.input.keywords import section_within
from crstack.files.fits_reading import inspect_image

__all__ = ["shape_of_section", "trimmed_shape"]


def trimmed_shape(path, ext=0, trim=None, **words):
    """Shape of the image of a file after it is cut to a section.

    Parameters
    ----------
    path : path-like
        FITS file.
    ext : int or str, optional
        Extension of the image.
    trim : str or Keyword, optional
        Section such as "[1:2048,1:4096]", or a keyword that holds one, such as "header:TRIMSEC".
    **words
        Words for messages, as for `crstack.files.fits_reading.inspect_image`.

    Returns
    -------
    shape : tuple of int
        (ny, nx).

    Raises
    ------
    InputError
        If the file cannot be read, the keyword is absent or holds no section, or the section lies outside the image.
    """
    info = inspect_image(path, ext, **words)
    return shape_of_section(info.header, trim, info.shape, os.path.basename(path))


def shape_of_section(header, trim, shape, name):
    """Shape (ny, nx) of an exposure of ``shape`` after it is cut to a section.

    Parameters
    ----------
    trim : str, Keyword or None
        As of `trimmed_shape`.
    header, shape, name
        As of `crstack.exposures.input.keywords.section_within`.
    """
    if trim is None:
        return shape
    rows, columns = section_within(header, trim, "trim", shape, name)
    return rows.stop - rows.start, columns.stop - columns.start
