"""Images of FITS files: the file, its extension, its values."""

import struct
import warnings
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from zipfile import BadZipFile

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.wcs import FITSFixedWarning

from crstack.exceptions import CRStackWarning, InputError
from crstack.files.decompressed import decompressed
from crstack.files.headers import inherited_header
from crstack.files.units import unit_of_header
from crstack.files.whole import remember_exposure
from crstack.utils.memory import empty_image, in_files, relax
from crstack.utils.threads import map_threads, row_bands
from crstack.utils.warn import warn_user

__all__ = [
    "BROKEN",
    "ERRORS",
    "QUALITY",
    "ImageInfo",
    "array_in_parts",
    "image_extension",
    "image_in_parts",
    "image_of",
    "inspect_image",
    "only_image",
    "only_image_of",
    "opened_fits",
    "plane_shape",
    "read_image",
]

try:
    # a C extension of astropy raises this error for damaged tiles; no public module has it
    from astropy.io.fits.hdu.compressed._compression import CfitsioException
except ImportError:
    CfitsioException = OSError

#: errors of astropy for a file that is damaged or not a FITS file
BROKEN = (
    CfitsioException,
    *(OSError, TypeError, ValueError, EOFError, LookupError, AttributeError, OverflowError, RuntimeError),
    *(VerifyError, MemoryError, AssertionError, struct.error, zlib.error, LZMAError, ArithmeticError, BadZipFile),
)

#: names of the extension of an exposure in messages, as opposed to those of masks and uncertainties
OF_EXPOSURE = ("ext", "--ext", "extnum")
#: names of the extensions of data quality and of uncertainty, and those of astropy, which need no argument
QUALITY, ERRORS, OF_ASTROPY = ("DQ", "BPM"), ("ERR", "SIGMA", "VAR", "VARIANCE", "IVAR"), ("MASK", "UNCERT")
FORMATS = "a FITS file, plain or compressed with gzip, bzip2, xz or fpack"


@dataclass(frozen=True)
class ImageInfo:
    """Information from the headers of a FITS image.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx).
    unit : `~astropy.units.Unit` or None
        Unit that BUNIT states; None where it is absent or empty.
    header : `~astropy.io.fits.Header`
        Header of the extension, with what it inherits from the primary header.
    """

    shape: tuple
    unit: u.UnitBase | None
    header: fits.Header


EXPOSURE = "exposure"
#: words of astropy about a file that is shorter than its headers state
CUT = "may have been truncated"


def _is_file(path):
    """Whether a path is a file; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


@contextmanager
def opened_fits(path, what=EXPOSURE, *, checksum=True):
    """Open a FITS file. Errors of astropy become an `InputError`.

    Parameters
    ----------
    path : str or path-like
        FITS file, plain or compressed with gzip, bzip2, xz or fpack.
    what : str, optional
        Name of the file in messages.
    checksum : bool, optional
        Whether checksums are compared, which reads the data.

    Yields
    ------
    hdus : `~astropy.io.fits.HDUList`

    Raises
    ------
    InputError
        If the file does not exist, or cannot be read as FITS inside the block.

    Warns
    -----
    CRStackWarning
        If the checksum of an extension that is used does not match, or the file is cut short.
    """
    path = Path(path)
    if not _is_file(path):
        raise InputError(f"{what} must be a FITS file that exists; got {path}")
    if what == EXPOSURE:
        remember_exposure(path)
    caught = []
    try:
        # the file is opened here, because astropy does not close it after an error
        with path.open("rb") as file, warnings.catch_warnings(record=True) as caught:
            if file.read(4) == b"PK\x03\x04":
                raise InputError(f"{what} must be {FORMATS}; got the zip archive {path}")
            file.seek(0)
            warnings.simplefilter("always")
            # headers alone are read from the compressed file, most often from its first part
            content = decompressed(file) if checksum else nullcontext(file)
            with content as plain, fits.open(plain, memmap=False, checksum=checksum) as hdus:
                yield hdus
    except InputError:
        raise
    except BROKEN as error:
        cut = [str(one.message) for one in caught if CUT in str(one.message)]
        reason = " ".join((cut[0] if cut else str(error)).split()) or type(error).__name__
        if "SIMPLE" in reason and "ignore_missing_simple" in reason:  # without the advice to callers of astropy
            reason = "it does not begin as a FITS file"
        raise InputError(f"{what} must be a readable FITS file; got {path} ({reason})") from error
    # a file of which only headers were read is read again later
    _pass_on([one for one in caught if checksum or CUT not in str(one.message)], path)


def _pass_on(caught, path):
    """Pass on the warnings of astropy about a cut file or a checksum; drop those about the form of cards."""
    said = set()
    for one in caught:
        text = " ".join(str(one.message).split())
        if issubclass(one.category, VerifyWarning | FITSFixedWarning) or text in said:
            continue
        said.add(text)
        ours = one.message if issubclass(one.category, CRStackWarning) else None
        if ours is None and issubclass(one.category, UserWarning):
            ours = CRStackWarning(f"{path}: {text}")
        if ours is not None:
            warn_user(ours, type(ours))


def image_extension(hdus, path, ext=None, *, name="extension"):
    """The extension of a file that holds an image.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.
    path : path-like
        Its name, for messages.
    ext : int, str or None, optional
        Number or name of the extension; None for the first that holds an image.
    name : str, optional
        Name of ``ext`` in messages.

    Returns
    -------
    hdu : image HDU
        Of two dimensions; more are accepted where all but the last two have length 1.

    Raises
    ------
    InputError
        If the extension does not exist or holds no 2-D image.
    """
    if ext is None:
        ext = next((i for i, hdu in enumerate(hdus) if plane_shape(hdu)), 0)
    if isinstance(ext, bool) or not isinstance(ext, int | str | np.integer):
        raise InputError(f"{name} must be a number or a name; got {ext!r}")
    try:
        hdu = hdus[ext]
    except (IndexError, KeyError):
        known = ", ".join(_label(i, hdu) for i, hdu in enumerate(hdus))
        raise InputError(f"{name} must be one of {known} in {path}; got {ext!r}") from None
    if not plane_shape(hdu):
        shape = tuple(hdu.shape) if hdu.is_image else ()
        images = [i for i, one in enumerate(hdus) if plane_shape(one)]
        found = "no image" if not shape else f"{len(shape)} dimensions" if len(shape) != 2 else f"the shape {shape}"
        hint = f" (there is one in {', '.join(_label(i, hdus[i]) for i in images)})" if images else ""
        if name in OF_EXPOSURE:
            hint += _remedy(hdus, images)
            hint += ". Write each plane of the cube to a file of its own" if len(shape) == 3 and not images else ""
        raise InputError(f"{name} {ext} of {path} must hold a 2-D image; got {found}{hint}")
    return hdu


def only_image(path, *, what=EXPOSURE):
    """Number of the extension that holds the only image of a file; 0 if there is none, or more than one.

    The image of a file compressed with fpack is in its first extension.

    Parameters
    ----------
    path : str or path-like
        FITS file.
    what : str, optional
        Name of the file in messages.

    Returns
    -------
    number : int
    """
    with opened_fits(path, what, checksum=False) as hdus:
        return only_image_of(hdus)


def only_image_of(hdus):
    """The same as `only_image`, of an open file."""
    images = [i for i, hdu in enumerate(hdus) if plane_shape(hdu)]
    return images[0] if len(images) == 1 else 0


def _remedy(hdus, images):
    """What to give for the extension of an exposure, where the images are elsewhere."""
    names = [hdus[i].name for i in images]
    if not images:
        return ""
    first = names[0] or images[0]
    quality = next((name for name in QUALITY if name in names), None)
    more = f" and dq_ext={quality!r}" if quality else ""
    option, key = (f" --dq-ext {quality}", f", dq_ext: {quality}") if quality else ("", "")
    given = f"ext={first!r}{more} (command: --ext {first}{option}; parameter file: extnum: {first}{key})"
    if len(images) > 1 and not set(names) & {*QUALITY, *ERRORS, *OF_ASTROPY}:
        mosaic = "or, if they are chips of a mosaic, --ext all, or crstack.read_mosaic"
        return f": give one of them, such as {given}, {mosaic}"
    return f": give {given}"


def _label(number, hdu):
    return f"{number} ({hdu.name})" if hdu.name else str(number)


def plane_shape(hdu):
    """(ny, nx) of an image with two dimensions, or with further ones of length 1; otherwise empty."""
    shape = tuple(hdu.shape) if hdu.is_image and not isinstance(hdu, fits.GroupsHDU) else ()
    if len(shape) < 2 or 0 in shape or any(length != 1 for length in shape[:-2]):
        return ()
    return shape[-2:]


def image_of(hdu):
    """The image of an extension, 2-D, in the byte order of the machine."""
    data = hdu.data
    if data.dtype.kind == "c":
        raise ValueError("the image is complex")
    data = data.reshape(data.shape[-2:])
    if data.dtype.isnative:
        return data
    image = np.empty(data.shape, data.dtype.newbyteorder("="))

    def work(rows):
        image[rows] = data[rows]

    map_threads(work, row_bands(*data.shape))
    return image


def image_in_parts(hdu):
    """The same as `image_of`, read a few rows at a time where large arrays are kept in files."""
    if not in_files():
        return image_of(hdu)
    shape, image = plane_shape(hdu), None
    for rows in row_bands(*shape):
        part = hdu.section[(*(0,) * (len(hdu.shape) - 2), rows)]
        if part.dtype.kind == "c":
            raise ValueError("the image is complex")
        if image is None:
            image = empty_image(shape, part.dtype.newbyteorder("="))
        image[rows] = part
        relax()
    return image


def array_in_parts(hdu):
    """The data of an image or cube, read a few rows at a time where large arrays are kept in files; None without."""
    if not in_files() or len(hdu.shape) < 2:
        return hdu.data
    array = None
    for index in np.ndindex(hdu.shape[:-2]):
        for rows in row_bands(*hdu.shape[-2:]):
            part = hdu.section[(*index, rows, slice(None))]
            if array is None:
                array = empty_image(hdu.shape, part.dtype.newbyteorder("="))
            array[(*index, rows)] = part
            relax()
    return array


def read_image(path, ext=None, *, what="exposure", name="extension"):
    """Image (ny, nx) and header of one extension of a FITS file.

    Parameters
    ----------
    path : str or path-like
        FITS file.
    ext : int, str or None, optional
        Number or name of the extension; None for the first that holds an image.
    what, name : str, optional
        Names of the file and its extension in messages.

    Returns
    -------
    image : `~numpy.ndarray`
        Stored values, scaled by BSCALE and BZERO; NaN at BLANK.
    header : `~astropy.io.fits.Header`
        With what it inherits from the primary header.

    Raises
    ------
    InputError
        If there is no readable 2-D image.
    """
    with opened_fits(path, what) as hdus:
        hdu = image_extension(hdus, path, ext, name=name)
        # read the data first, because this changes BITPIX, BSCALE and other keywords
        image = np.array(image_of(hdu))
        return image, inherited_header(hdus, hdu)


def inspect_image(path, ext=0, *, what="exposure", name="extension"):
    """Shape, unit and header of one extension of a FITS file, without its data.

    Parameters and errors are those of `read_image`.

    Returns
    -------
    info : ImageInfo
    """
    with opened_fits(path, what, checksum=False) as hdus:
        hdu = image_extension(hdus, path, ext, name=name)
        header = inherited_header(hdus, hdu)
        return ImageInfo(plane_shape(hdu), unit_of_header(header, path), header)
