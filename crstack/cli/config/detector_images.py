"""Gain, read noise and bias that are images in FITS files."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from crstack._validation import check_image_shape, check_number
from crstack.cli.console import log
from crstack.exceptions import ConfigurationError, InputError

__all__ = ["BOUNDS", "DetectorNumbers", "MapName", "map_name", "read_detector_numbers"]

NAME = re.compile(
    r"(?P<path>[^\[\]]+\.(?:fits?|fts)(?:\.(?:gz|bz2|fz|Z))?)(?:\[(?P<extension>[^\[\]]+)\])?", re.IGNORECASE
)

#: what the values of a key must be, as numbers and in files
BOUNDS = {"gain": {"minimum": 0, "exclusive": True}, "rnoise": {"minimum": 0}, "bias": {}}


@dataclass(frozen=True)
class MapName:
    """Name of an image in a FITS file.

    Parameters
    ----------
    path : str
        As in the parameter file.
    extension : int, str or None
        Number or name of the extension; None for the first that holds an image.
    """

    path: str
    extension: int | str | None = None

    def __str__(self):
        return self.path if self.extension is None else f"{self.path}[{self.extension}]"


def map_name(key, text):
    """Take ``file.fits`` or ``file.fits[extension]`` apart.

    Raises
    ------
    ConfigurationError
        If the text is nothing of the kind.
    """
    found = NAME.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(
            f"{key} must be a number or the name of a FITS file, such as {key}.fits or {key}.fits[1]; got {text!r}"
        )
    extension = found["extension"]
    if extension is not None:
        extension = extension.strip().strip("'\"")
        extension = int(extension) if extension.isdecimal() else extension
    return MapName(found["path"], extension)


@dataclass(frozen=True, eq=False)
class DetectorNumbers:
    """Gain, read noise and bias of the exposures: numbers, or images (ny, nx).

    Attributes
    ----------
    gain : float or `~numpy.ndarray`
        Electron/ADU.
    rnoise, bias : float or `~numpy.ndarray`
        ADU.
    """

    gain: float | np.ndarray
    rnoise: float | np.ndarray
    bias: float | np.ndarray


def read_detector_numbers(configuration, shape):
    """Gain, read noise and bias, from the parameter file and the files it names.

    Parameters
    ----------
    configuration : `~crstack.cli.config.configuration.Configuration`
        Files are looked for from the current directory, then from that of
        the parameter file.
    shape : tuple of int
        (ny, nx) of the exposures.

    Returns
    -------
    numbers : DetectorNumbers

    Raises
    ------
    InputError
        If a file is missing, not FITS, or its image is not 2-D, has another
        shape, holds NaN or infinity, or is out of bounds.
    """
    values = {}
    for key, bounds in BOUNDS.items():
        value = configuration[key]
        if isinstance(value, MapName):
            value = _read(key, value, configuration.path.parent)
            _check(key, configuration[key], value, shape, bounds)
        values[key] = value
    return DetectorNumbers(**values)


def _read(key, name, directory):
    path = next((path for path in (Path(name.path), directory / name.path) if path.is_file()), None)
    if path is None:
        raise InputError(f"{key} must be a number or a FITS file that exists; got {name}")
    log.info("%s image: %s", key, path)
    try:
        with warnings.catch_warnings(), fits.open(path, memmap=False) as hdus:
            warnings.simplefilter("ignore", VerifyWarning)
            hdu = _extension(key, name, hdus)
            if not hdu.is_image or len(hdu.shape) != 2:
                raise InputError(f"{key} must be a 2-D image; got none in {name}")
            return np.array(hdu.data, dtype=np.float32)
    except InputError:
        raise
    except (OSError, TypeError, ValueError, EOFError) as error:
        raise InputError(f"{key} must be a readable FITS file; got {name} ({error})") from None


def _extension(key, name, hdus):
    if name.extension is None:
        return next((hdu for hdu in hdus if hdu.is_image and hdu.shape), hdus[0])
    try:
        return hdus[name.extension]
    except (IndexError, KeyError):
        known = ", ".join(f"{i} ({hdu.name})" if hdu.name else str(i) for i, hdu in enumerate(hdus))
        raise InputError(f"{key} must name an extension out of {known}; got {name}") from None


def _check(key, name, image, shape, bounds):
    check_image_shape(f"{key} of {name}", image.shape, shape)
    if not np.isfinite(image).all():
        wrong = np.argwhere(~np.isfinite(image))[0][::-1] + 1
        raise InputError(f"{key} must be finite everywhere; got {name} with NaN or infinity, first at pixel {wrong}")
    check_number(f"{key} of {name}, at its lowest,", float(image.min()), **bounds)
