"""Bad values and the uncertainty of an exposure, from other extensions of its file."""

from dataclasses import dataclass

import numpy as np
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

from crstack.exceptions import InputError
from crstack.exposures.quality import unusable, used_bits
from crstack.files.fits_reading import ERRORS, QUALITY, image_extension, image_in_parts, plane_shape
from crstack.utils.validation import check_image_shape

__all__ = [
    "UNCERTAINTIES",
    "BadOfFile",
    "bad_of_file",
    "extensions_of",
    "twins_of",
    "uncertainty_of_file",
    "unused_planes",
]

#: kinds of uncertainty by UTYPE, as `~astropy.nddata.CCDData.write` has it
UNCERTAINTIES = {kind.__name__: kind for kind in (StdDevUncertainty, VarianceUncertainty, InverseVariance)}
#: the same by the name of the extension, if there is no UTYPE; any other name means standard deviations
_BY_NAME = {
    **dict.fromkeys(("VAR", "VARIANCE", "VARPLANE"), VarianceUncertainty),
    **dict.fromkeys(("IVAR", "INVVAR", "INVERSE_VARIANCE"), InverseVariance),
}
#: the extensions of a mask and an uncertainty that are read without an argument
MASK, UNCERT = "MASK", "UNCERT"
#: images of integers with more zeros than this fraction are no uncertainties
MANY_ZEROS = 0.5


@dataclass(frozen=True, eq=False)
class BadOfFile:
    """Bad values that the extensions of a file state.

    Attributes
    ----------
    mask, saturated : `~numpy.ndarray` of bool or None
        Bad values; those that are bad because they are saturated.
    quality : `~numpy.ndarray` or None
        Image of the bits, or of bool, that make the values bad.
    """

    mask: np.ndarray | None = None
    saturated: np.ndarray | None = None
    quality: np.ndarray | None = None


def _plane_of(hdus, ext, path, shape, name):
    """Data of an extension that belongs to the image."""
    data = image_in_parts(image_extension(hdus, path, ext, name=name))
    check_image_shape(f"extension {ext} of {path}", data.shape, shape)
    return data


def _of_image(hdus, ext, reading, argument, path):
    """Number of the extension that belongs to the image, of those that share a name; other extensions as given.

    It has the version (EXTVER) of the image if several images share a name. Otherwise it is the first one between the
    image and the next image.
    """
    if not isinstance(ext, str):
        return ext
    numbers = _numbers(hdus, ext)
    image = next(i for i, hdu in enumerate(hdus) if hdu is hdus[reading.ext])
    if len(numbers) < 2:
        return ext
    if _has_twins(hdus, image):
        own = [i for i in numbers if hdus[i].ver == hdus[image].ver]
    else:
        planes = {MASK, UNCERT, *QUALITY, *ERRORS, *(hdus[i].name for i in numbers)}
        later = [i for i, hdu in enumerate(hdus) if i > image and plane_shape(hdu)]
        following = next((i for i in later if hdus[i].name not in planes), len(hdus))
        own = [i for i in numbers if image < i < following][:1]
    if len(own) != 1:
        raise InputError(
            f"{argument} must be a number, because extensions {', '.join(map(str, numbers))} of {path} have this name, "
            f"and none has the version of the image in extension {image}; got {ext!r}"
        )
    return own[0]


def _numbers(hdus, name):
    """Numbers of the extensions with a name that hold an image."""
    return [i for i, hdu in enumerate(hdus) if hdu.name == name.strip().upper() and plane_shape(hdu)]


def _has_twins(hdus, image):
    """Whether other images have the name of an image (number), so that versions distinguish them."""
    return bool(hdus[image].name) and len(_numbers(hdus, hdus[image].name)) > 1


def _is_of_other_image(hdus, ext, reading):
    """Whether the only extension of a name has the version of another image of the same name."""
    numbers = _numbers(hdus, ext)
    image = next(i for i, hdu in enumerate(hdus) if hdu is hdus[reading.ext])
    return len(numbers) == 1 and _has_twins(hdus, image) and hdus[numbers[0]].ver != hdus[image].ver


def extensions_of(hdus, reading):
    """Extensions that hold the bad values and the uncertainties of an exposure.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.
    reading : Reading
        How it is read.

    Returns
    -------
    extensions : dict
        Number or name of the extension of "bad values" and of "uncertainties"; one is absent if it is not read. Without
        an argument, MASK and UNCERT are read.
    """
    wanted = {"bad values": (reading.dq_ext, MASK), "uncertainties": (reading.err_ext, UNCERT)}
    found = {}
    for what, (given, own) in wanted.items():
        if given is not None:
            found[what] = given
        elif own in hdus and reading.ext != own and not _is_of_other_image(hdus, own, reading):
            found[what] = own
    return found


def bad_of_file(hdus, path, reading, shape):
    """Bad values that the extensions of mask and data quality state.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.
    path : str
        Its name, for messages.
    reading : Reading
        How it is read.
    shape : tuple of int
        (ny, nx) of the image.

    Returns
    -------
    bad : BadOfFile

    Notes
    -----
    An extension MASK is read without an argument, and each of its values except 0 is bad. If ``dq_ext`` names it, the
    bits that are given decide.
    """
    ext = extensions_of(hdus, reading).get("bad values")
    if ext is None:
        return BadOfFile()
    ext = _of_image(hdus, ext, reading, "dq_ext", path)
    if reading.dq_ext is None:
        image = _plane_of(hdus, ext, path, shape, "extension")
        return BadOfFile(image.astype(bool), None, used_bits(image))
    image = _plane_of(hdus, ext, path, shape, "dq_ext")
    mask, saturated = unusable(image, reading.bits, path)
    if MASK in hdus and reading.ext != MASK and not _is_of_other_image(hdus, MASK, reading):
        own = _of_image(hdus, MASK, reading, "dq_ext", path)
        if hdus[ext] is not hdus[own]:
            mask = mask | _plane_of(hdus, own, path, shape, "extension").astype(bool)
    return BadOfFile(mask, saturated, used_bits(image, reading.bits))


def uncertainty_of_file(hdus, path, reading, shape):
    """The uncertainty that a file holds; None if there is none, or none is to be read.

    Parameters
    ----------
    hdus, path, reading, shape
        As of `bad_of_file`.

    Returns
    -------
    uncertainty : `~astropy.nddata.NDUncertainty` or None
        An extension UNCERT is read without an argument.

    Raises
    ------
    InputError
        If the extension holds data quality.
    """
    ext = extensions_of(hdus, reading).get("uncertainties")
    if ext is None:
        return None
    ext = _of_image(hdus, ext, reading, "err_ext", path)
    array = _plane_of(hdus, ext, path, shape, "err_ext")
    zeros = float(np.mean(array == 0)) if array.dtype.kind in "iub" else 0.0
    if zeros > MANY_ZEROS:
        raise InputError(
            f"err_ext must be an image of uncertainties; got integers, {100 * zeros:.4g} % of them 0, in extension "
            f"{ext} of {path}: is it the data quality? Give that as dq_ext= (command: --dq-ext)"
        )
    hdu = hdus[ext]
    kind = UNCERTAINTIES.get(hdu.header.get("UTYPE"), _BY_NAME.get(hdu.name.upper(), StdDevUncertainty))
    return kind(array)


def unused_planes(hdus, reading, shape):
    """Data quality and uncertainty of a file that are not read: (argument, name of the extension)."""
    read = extensions_of(hdus, reading)
    wanted = [("dq_ext", name) for name in (MASK, *QUALITY) if "bad values" not in read]
    wanted += [("err_ext", name) for name in (UNCERT, *ERRORS) if "uncertainties" not in read]
    return tuple(
        (argument, name)
        for argument, name in wanted
        if name in hdus and name != reading.ext and plane_shape(hdus[name]) == shape
    )


def twins_of(hdus, ext):
    """Name of an extension, and the numbers of the images with this name; empty if there is one only."""
    if not isinstance(ext, str):
        return ()
    numbers = [i for i, hdu in enumerate(hdus) if hdu.name == ext.strip().upper() and plane_shape(hdu)]
    return (ext, numbers) if len(numbers) > 1 else ()
