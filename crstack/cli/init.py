"""``crstack init``: a parameter file with keywords of the headers."""

import os
from pathlib import Path

from crstack.cli.template import TEMPLATE
from crstack.cli.without_file import refuse_directories
from crstack.config.image_names import image_places, is_file, matching_images
from crstack.exceptions import InputError
from crstack.exposures.input.keywords import USUAL_KEYWORDS, is_count
from crstack.exposures.input.products import without_products
from crstack.files.fits_reading import image_extension, inspect_image, opened_fits
from crstack.files.headers import inherited_header
from crstack.files.whole import atomic_path
from crstack.utils.log import log

__all__ = ["parameter_file", "write_parameter_file"]

#: keys of the file, as the values are called in Python, and their units
KEYS = {"gain": ("gain", "electron/ADU"), "rnoise": ("readnoise", "ADU")}
NO_BIAS = "0.0    # ADU; right only if the bias is subtracted already"


def parameter_file(images, directory=None):
    """Text of a commented parameter file.

    Parameters
    ----------
    images : sequence of str
        FITS files, or patterns.
    directory : path-like, optional
        Directory of the parameter file: the images have names relative to it. By default they are as given.

    Returns
    -------
    text : str

    Raises
    ------
    InputError
        If there are fewer than two images, if a file is not a FITS file with a 2-D image, or if shapes differ.
    """
    refuse_directories(images, "images must be FITS files")
    images = without_products(matching_images(list(images), "."))
    if len(images) < 2:
        raise InputError(f"images must be two or more exposures of one field; got {images[0]} alone")
    if any("\n" in name for name in images):
        raise InputError("images must have names of one line; got a line break")
    with opened_fits(images[0], "images", checksum=False) as hdus:
        hdu = image_extension(hdus, images[0])
        number = hdus.index_of(hdu)
        header = inherited_header(hdus, hdu)
    missing = [name for name in images if not any(is_file(path) for path in image_places(name, "."))]
    if missing:
        raise InputError(f"images must be files that exist; got {missing[0]}")
    _refuse_unlike(images, number)
    if directory is not None:
        images = [_relative(name, directory) for name in images]
    return TEMPLATE.format(
        images="\n".join(f"  - {_quoted(name)}" for name in images),
        extnum=number,
        **{key: _keyword(header, key, images[0]) for key in KEYS},
        bias=_bias(header, images[0]),
        crmethod="joint",
    )


def write_parameter_file(path, images, *, overwrite=False):
    """Write `parameter_file` to a file, with names of the images relative to it.

    Parameters
    ----------
    path : path-like
        The file.
    images : sequence of str
        FITS files, or patterns.
    overwrite : bool, optional
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        As for `parameter_file`, or if the file exists or its directory does not.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"parameter file must be in a directory that exists; got {path}")
    if path.exists() and not overwrite:
        raise InputError(f"parameter file must be new, unless --overwrite is given; got {path}")
    text = parameter_file(images, path.parent)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    log.note("wrote %s", path)


def _refuse_unlike(images, ext):
    """Raise `InputError` if an image cannot be read, or has another shape than the first one."""
    paths = [next(path for path in image_places(name, ".") if is_file(path)) for name in images]
    shapes = [inspect_image(path, ext, what="images", name="extension").shape for path in paths]
    for path, shape in zip(paths, shapes, strict=True):
        if shape != shapes[0]:
            raise InputError(f"images must share one shape; got {shapes[0]} for {paths[0]} and {shape} for {path}")


def _relative(name, directory):
    """The name of an image, relative to the directory where it lies in it."""
    path, directory = os.path.abspath(os.path.expanduser(name)), os.path.abspath(directory)
    inside = os.path.commonpath([path, directory]) == directory
    return os.path.relpath(path, directory) if inside else path


def _keyword(header, key, path):
    """The first usual keyword in the header, with its value as a comment; a warning if there is none."""
    what, unit = KEYS[key]
    for name in USUAL_KEYWORDS[what]:
        if name in header:
            comment = header.comments[name]
            return f"header:{name}    # {header[name]} in {path}{f' ({comment})' if comment else ''}"
    words = ", ".join(USUAL_KEYWORDS[what])
    log.warning("%s must be filled in: the header of %s has none of %s", key, path, words)
    return f"       # must be given, in {unit}: not in the headers"


def _bias(header, path):
    """A keyword of the header that is a number above 0, with its value as a comment; else 0, and what was found."""
    found = [name for name in USUAL_KEYWORDS["bias"] if name in header]
    for name in found:
        if is_count(header[name]) and header[name] > 0:
            return f"header:{name}    # {header[name]} in {path}; 0.0 if the bias is subtracted already"
    return f"{NO_BIAS}; else try header:{found[0]}, which is {header[found[0]]}" if found else NO_BIAS


def _quoted(name):
    """A name as YAML, in quotes if necessary."""
    plain = all(letter.isalnum() or letter in "_./+-" for letter in name) and name[0] not in "-+."
    return name if plain else "'" + name.replace("'", "''") + "'"
