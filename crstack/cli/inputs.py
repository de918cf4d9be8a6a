"""Checks of files and directories, before the work starts."""

import os
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from crstack._validation import check_image_shape, check_pixel, check_region
from crstack.cli.console import log
from crstack.exceptions import InputError
from crstack.masks.local_median import check_local_medians

__all__ = [
    "check_gain",
    "check_masks",
    "check_output_directory",
    "check_places",
    "find_images",
    "inspect_images",
]


def find_images(names, directory):
    """Paths of the images.

    Parameters
    ----------
    names : sequence of str
        As in the parameter file.
    directory : path-like
        Where to look, there and in its subdirectory ``data``, for those that are not
        found from the current directory.

    Returns
    -------
    paths : list of `~pathlib.Path`

    Raises
    ------
    InputError
        If one is in none of these places.
    """
    paths, directory = [], Path(directory)
    for name in names:
        places = (Path(name), directory / name, directory / "data" / name)
        candidates = [path for path in places if path.is_file()]
        if not candidates:
            raise InputError(f"images must be files that exist; got {name}")
        found, other = candidates[0], candidates[-1]
        log.info("found input file: %s", found)
        if found.resolve() != other.resolve():
            log.warning("%s is taken from the current directory, not %s", found, other)
        if any(found.resolve() == path.resolve() for path in paths):
            log.warning("%s is given twice; exposures must be independent", name)
        paths.append(found)
    return paths


def inspect_images(paths, ext):
    """Shape and unit of the images, from their headers alone.

    Parameters
    ----------
    paths : sequence of path-like
        FITS files.
    ext : int or str
        Extension of the images.

    Returns
    -------
    shape : tuple of int
        (ny, nx).
    unit : `~astropy.units.Unit`
        Electrons if BUNIT says so, otherwise ADU as numina-crmasks assumes.

    Raises
    ------
    InputError
        If a file is not FITS, has no 2-D image there, or shapes or units differ.
    """
    first = None
    for path in paths:
        shape, unit = _inspect(path, ext)
        if first is None:
            first = shape, unit
        if shape != first[0]:
            raise InputError(f"images must share one shape; got {first[0]} for {paths[0]} and {shape} for {path}")
        if unit != first[1]:
            raise InputError(f"images must share one unit; got {first[1]} for {paths[0]} and {unit} for {path}")
    return first


def check_gain(gain, unit, path):
    """Raise `InputError` if the gain of images in electrons, as ``path`` is, is not 1 (a number or an image)."""
    if unit == u.electron and np.any(np.not_equal(gain, 1)):
        found = f"{gain:g}" if np.ndim(gain) == 0 else f"{np.min(gain):g} to {np.max(gain):g}"
        raise InputError(f"gain must be 1 for images in electrons, as BUNIT of {path} says; got {found}")


def _inspect(path, ext):
    try:
        with warnings.catch_warnings(), fits.open(path, lazy_load_hdus=True) as hdus:
            warnings.simplefilter("ignore", VerifyWarning)
            try:
                hdu = hdus[ext]
            except (IndexError, KeyError):
                known = ", ".join(f"{i} ({one.name})" if one.name else str(i) for i, one in enumerate(hdus))
                raise InputError(f"extnum must be one of {known} for {path}; got {ext!r}") from None
            shape = tuple(hdu.shape) if hdu.is_image else ()
            bunit = hdu.header.get("BUNIT")
    except InputError:
        raise
    except (OSError, TypeError, ValueError, EOFError) as error:
        raise InputError(f"images must be readable FITS files; got {path} ({error})") from None
    if len(shape) != 2:
        found = f"{len(shape)} dimensions" if shape else "no image"
        raise InputError(f"extension {ext} of {path} must hold a 2-D image; got {found}")
    return shape, _unit(bunit, path)


def _unit(bunit, path):
    words = str(bunit or "adu").strip().lower()
    if words in ("electron", "electrons", "e-", "e", "elec"):
        return u.electron
    if words not in ("adu", "adus", "count", "counts", "ct", "cts", "dn"):
        log.warning("BUNIT of %s is %r; its values are taken as ADU", path, bunit)
    return u.adu


def check_places(configuration, shape):
    """Raise `InputError` unless regions and pixels lie in images of ``shape``."""
    for key in ("regions_to_be_skipped", "flux_factor_regions"):
        for number, region in enumerate(configuration[key], start=1):
            check_region(f"region {number} of {key}", region, shape)
    key = "mm_crosscorr_region"
    if configuration[key] is not None:
        check_region(key, configuration[key], shape)
    for key in ("pixels_to_be_flagged_as_cr", "pixels_to_be_ignored_as_cr"):
        for number, pixel in enumerate(configuration[key], start=1):
            check_pixel(f"pixel {number} of {key}", pixel, shape)
    key = "pixels_to_be_replaced_by_local_median"
    check_local_medians(configuration[key], shape, f"pixel {{}} of {key}")


def check_masks(masks, path, shape, n_images, use_auxmedian):
    """Raise `InputError` unless masks read from ``path`` fit the images."""
    check_image_shape(f"masks of {path}", masks.shape, shape)
    if masks.n_exposures != n_images:
        raise InputError(f"masks of {path} must be of {n_images} exposures; got {masks.n_exposures}")
    if use_auxmedian and masks.auxclean is None:
        raise InputError(f"use_auxmedian must be False with masks that have no AUXCLEAN; got {path}")


def check_output_directory(directory):
    """Raise `InputError` unless the directory can be written, or made; nothing is made."""
    place = Path(directory)
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        reason = "may not be written" if place.is_dir() else "is not a directory"
        raise InputError(f"output directory must be writable; got {directory}, where {place} {reason}")
