"""Checks of the images and of their settings, before the work starts."""

from pathlib import Path

import astropy.units as u
import numpy as np

from crstack.config.image_names import image_places, is_file
from crstack.exceptions import InputError
from crstack.files.fits_reading import inspect_image, opened_fits
from crstack.files.headers import CHIP
from crstack.files.names import short_names
from crstack.masks.local_median import check_local_medians
from crstack.mosaic import chips_of
from crstack.utils.log import log
from crstack.utils.validation import check_image_shape, check_pixel, check_region

__all__ = [
    "check_gain",
    "check_masks",
    "check_places",
    "chip_of_masks",
    "find_images",
    "inspect_images",
    "is_file",
]


def find_images(names, directory):
    """Paths of the images.

    Parameters
    ----------
    names : sequence of str
        As in the parameter file.
    directory : path-like
        Directory to search, with its subdirectory ``data``, for images that are not in the current directory.

    Returns
    -------
    paths : list of `~pathlib.Path`

    Raises
    ------
    InputError
        If an image is in none of these directories, or is given twice.
    """
    paths, directory = [], Path(directory)
    for name in names:
        places = image_places(name, directory)
        candidates = [path for path in places if is_file(path)]
        if not candidates:
            raise InputError(f"images must be files that exist; got {name}")
        found, other = candidates[0], candidates[-1]
        log.info("found input file: %s", found)
        if found.resolve() != other.resolve():
            log.warning("%s is used from the current directory, not %s", found, other)
        if any(found.resolve() == path.resolve() for path in paths):
            raise InputError(f"images must be different files, because exposures are independent; got {name} twice")
        paths.append(found)
    return paths


def inspect_images(paths, ext, name="extnum"):
    """Shape and unit of the images, from their headers alone.

    Parameters
    ----------
    paths : sequence of path-like
        FITS files.
    ext : int or str
        Extension of the images.
    name : str, optional
        Name of ``ext`` in messages.

    Returns
    -------
    shape : tuple of int
        (ny, nx).
    unit : `~astropy.units.Unit`
        That of BUNIT; ADU if there is none, as in numina-crmasks.

    Raises
    ------
    InputError
        If a file is not FITS, has no 2-D image in the extension, or shapes or units differ.
    """
    first, silent = None, []
    for path in paths:
        info = inspect_image(path, ext, what="images", name=name)
        unit = u.adu if info.unit is None else info.unit
        if info.unit is None:
            silent.append(str(path))
        if first is None:
            first = info.shape, unit
        if info.shape != first[0]:
            raise InputError(f"images must share one shape; got {first[0]} for {paths[0]} and {info.shape} for {path}")
        if unit != first[1]:
            raise InputError(f"images must share one unit; got {first[1]} for {paths[0]} and {unit} for {path}")
    if silent:
        which = "all images" if len(silent) == len(paths) else ", ".join(short_names(silent))
        log.warning(
            "BUNIT is absent in %s: values are taken as adu. If they are electrons, write BUNIT into the headers", which
        )
    return first


def check_gain(gain, unit, path):
    """Raise `InputError` if the gain (a number or an image) is not 1 for images in electrons such as ``path``."""
    if isinstance(gain, str):
        return  # a keyword, which is read with the exposures
    if unit in (u.electron, u.electron / u.s) and np.any(np.not_equal(gain, 1)):
        found = f"{gain:g}" if np.ndim(gain) == 0 else f"{np.min(gain):g} to {np.max(gain):g}"
        raise InputError(
            f"gain must be 1 for images in electrons, as BUNIT of {path} says; got {found}: leave the gain out (in a "
            "parameter file, give 1), or write BUNIT = 'adu' into the headers if the values are in ADU"
        )


def check_places(configuration, shape):
    """Raise `InputError` unless regions and pixels lie in images of ``shape``."""
    for key in ("regions_to_be_skipped", "flux_factor_regions"):
        for number, region in enumerate(configuration[key], start=1):
            check_region(f"region {number} of {key}", region, shape)
    key = "mm_crosscorr_region"
    if configuration[key] is not None:
        check_region(key, configuration[key], shape)
    for key in ("pixels_to_be_flagged_as_cr", "pixels_to_be_ignored_as_cr", "mediancr_pixels_to_be_dropped"):
        if any(x > shape[1] or y > shape[0] for x, y in configuration[key]):
            for number, pixel in enumerate(configuration[key], start=1):
                check_pixel(f"pixel {number} of {key}", pixel, shape)
    for number, offset in enumerate(configuration["mm_xy_offsets"], start=1):
        if any(abs(one) > length / 2 for one, length in zip(offset, shape[::-1], strict=True)):
            raise InputError(
                f"pair {number} of mm_xy_offsets must be at most half the image of {shape[1]} x {shape[0]} pixels; "
                f"got {list(offset)}"
            )
    key = "pixels_to_be_replaced_by_local_median"
    check_local_medians(configuration[key], shape, f"pixel {{}} of {key}")


def chip_of_masks(masks_path, image_path, ext):
    """Name of the chip of a file of masks that one extension of the images shows; None if it is no file of a mosaic.

    Parameters
    ----------
    masks_path : path-like
        File of masks.
    image_path : path-like
        An image.
    ext : int or str
        Its extension.
    """
    with opened_fits(masks_path, "masks", checksum=False) as hdus:
        if not any(CHIP in hdu.header for hdu in hdus):
            return None
    (wanted,) = chips_of([image_path], ext)
    return next(chip.name for chip in chips_of([image_path]) if chip.number == wanted.number)


def check_masks(masks, path, shape, n_images, use_auxmedian):
    """Raise `InputError` unless masks read from ``path`` match the images."""
    check_image_shape(f"masks of {path}", masks.shape, shape)
    if masks.n_exposures != n_images:
        raise InputError(f"masks of {path} must be of {n_images} exposures; got {masks.n_exposures}")
    if use_auxmedian and masks.auxclean is None:
        raise InputError(f"use_auxmedian must be False with masks that have no AUXCLEAN; got {path}")
