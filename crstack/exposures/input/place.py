"""Choice between memory and temporary files for the arrays of a stack."""

import os

import numpy as np

from crstack.exposures.input.reading import as_given
from crstack.exposures.input.trimming import shape_of_section, trimmed_shape
from crstack.files.fits_reading import only_image
from crstack.utils.memory import current_workspace

__all__ = ["choose_place", "expected_bytes", "expected_bytes_of_files"]

#: measured peak memory of the joint decision: bytes for each pixel and for each value, and bytes for each value that
#: differences between the exposures add
PER_PIXEL, PER_VALUE, OF_DIFFERENCES = 40, 10, 16
#: measured peak memory while all combined images are made and written: bytes for each pixel, and for each value
COMBINED_PER_PIXEL, COMBINED_PER_VALUE = 160, 25
#: bytes of libraries that are loaded later, and of tables; they do not depend on the image
FIXED = 220_000_000
#: size of the temporary files over the memory of the images, the least that was measured
SHARE_IN_FILES = 0.5
#: share of the pixels that are examined: of clean ones, and beside the hits of each exposure
EXAMINED, EXAMINED_PER_EXPOSURE = 0.03, 0.03
#: bytes for each node of an examined pixel, and for each of its values there
PER_NODE, PER_NODE_AND_VALUE = 8, 6


def expected_bytes(n, n_pixels):
    """Peak memory of a stack of ``n`` exposures of ``n_pixels`` pixels, if all of it is in memory.

    Parameters
    ----------
    n : int
        Number of exposures.
    n_pixels : int
        Pixels of one of them.

    Returns
    -------
    n_bytes : float
    """
    # the joint decision integrates over the signal: a table for each examined value and node
    nodes = 8 * np.sqrt(n) + 2
    examined = min(EXAMINED + EXAMINED_PER_EXPOSURE * n, 1.0)
    per_pixel = PER_PIXEL + (PER_VALUE + OF_DIFFERENCES) * n
    per_pixel += examined * nodes * (PER_NODE + PER_NODE_AND_VALUE * n)
    combined = COMBINED_PER_PIXEL + COMBINED_PER_VALUE * n
    return FIXED + n_pixels * float(max(per_pixel, combined))


def expected_bytes_of_files(n, n_pixels):
    """Space on the disk of the temporary files of a stack whose arrays are kept there, in bytes.

    Parameters
    ----------
    n, n_pixels : int
        As for `expected_bytes`.

    Returns
    -------
    n_bytes : float
        A lower estimate.
    """
    return SHARE_IN_FILES * (expected_bytes(n, n_pixels) - FIXED)


def choose_place(items, reading, trim=None):
    """Keep the arrays of a stack in files if ``mem_limit`` asks for it: see `crstack.utils.memory.Workspace`.

    Parameters
    ----------
    items : list
        The exposures as given.
    reading : `~crstack.exposures.input.reading.Reading`
        How to read them.
    trim : str or Keyword, optional
        The section to which they are cut: see `crstack.exposures.input.trimming.trimmed_shape`.
    """
    workspace = current_workspace()
    if workspace is None or workspace.limit is None:
        return
    n_pixels = int(np.prod(_shape_of(items[0], reading, trim), dtype=np.int64))
    n, space = len(items), expected_bytes_of_files(len(items), n_pixels)
    workspace.decide(expected_bytes(n, n_pixels), n_pixels, n, space)


def _shape_of(item, reading, trim):
    """Shape (ny, nx) of an exposure as it will be used, without the values of a file."""
    if isinstance(item, str | os.PathLike):
        path = os.path.expanduser(item)
        return trimmed_shape(path, only_image(path) if reading.ext is None else reading.ext, trim, name="ext")
    given = as_given(item, 1, reading)
    return shape_of_section(given.header, trim, given.shape, given.name)
