"""Gain, read noise, bias and saturation that are images in FITS files."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crstack.exceptions import ConfigurationError, InputError
from crstack.files.decompressed import ENDING
from crstack.files.fits_reading import read_image
from crstack.utils.log import log
from crstack.utils.validation import check_image_shape, check_number

__all__ = [
    "BOUNDS",
    "KEYWORDS",
    "UNITS",
    "DetectorNumbers",
    "MapName",
    "forms_of",
    "map_name",
    "map_path",
    "read_detector_numbers",
]

NAME = re.compile(rf"(?P<path>[^\[\]]+{ENDING})(?:\[(?P<extension>[^\[\]]+)\])?", re.IGNORECASE)

#: usual keyword of each
KEYWORDS = {"gain": "GAIN", "rnoise": "RDNOISE", "bias": "BIASSEC", "saturation": "SATURATE"}

#: unit of each, where it is a number or an image
UNITS = {"gain": "electron/ADU", "rnoise": "ADU", "bias": "ADU", "saturation": "ADU"}

#: checks of the values of a key, as numbers and in files
BOUNDS = {
    "gain": {"minimum": 1e-6, "maximum": 1e6},
    "rnoise": {"minimum": 0, "exclusive": True, "maximum": 1e6},
    "bias": {"minimum": -1e7, "maximum": 1e7},
    "saturation": {"minimum": 0, "exclusive": True, "maximum": 1e9},
}


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
    """Parse ``file.fits`` or ``file.fits[extension]``.

    Raises
    ------
    ConfigurationError
        If the text has another form.
    """
    found = NAME.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(f"{forms_of(key)}; got {text!r}{_in_electrons(key, text)}")
    extension = found["extension"]
    if extension is not None:
        extension = extension.strip().strip("'\"")
        extension = int(extension) if extension.isdecimal() else extension
    return MapName(found["path"], extension)


def forms_of(key):
    """Sentence on what a quantity of the detector may be."""
    return (
        f"{key} must be a number in {UNITS[key]}, a keyword of the headers such as header:{KEYWORDS[key]}, or the name "
        f"of a FITS file, such as {key}.fits or {key}.fits[1]"
    )


def _in_electrons(key, text):
    """What to do with a number of electrons, in words."""
    if key == "gain" or not re.search(r"\d\s*(e-?|electrons?)$", text.strip()):
        return ""
    return "; divide electrons by the gain"


@dataclass(frozen=True, eq=False)
class DetectorNumbers:
    """Numbers of the detector: numbers, images (ny, nx), or keywords and sections of the exposures.

    Attributes
    ----------
    gain : float, `~numpy.ndarray` or str
        Electron/ADU; a string is a keyword, such as "header:GAIN".
    rnoise, bias : float, `~numpy.ndarray` or str
        ADU; a string is a keyword, or a section in which the bias is measured.
    saturation : float, `~numpy.ndarray`, str or None
        ADU; a string is a keyword; None if it is not known.
    """

    gain: float | np.ndarray | str
    rnoise: float | np.ndarray | str
    bias: float | np.ndarray | str
    saturation: float | np.ndarray | str | None = None


def read_detector_numbers(configuration, shape):
    """Gain, read noise, bias and saturation, from the parameter file and the files it names.

    Parameters
    ----------
    configuration : `~crstack.config.configuration.Configuration`
        Files are searched in the current directory, then in that of the parameter file.
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


def map_path(name, directory):
    """Path of an image of detector numbers: in the current directory, then in ``directory``; None if absent."""
    return next((path for path in (Path(name.path), directory / name.path) if path.is_file()), None)


def _read(key, name, directory):
    """The image that a key names, float32."""
    path = map_path(name, directory)
    if path is None:
        raise InputError(f"{key} must be a number or a FITS file that exists; got {name}")
    log.info("%s image: %s", key, path)
    image, _ = read_image(path, name.extension, what=key, name=f"extension of {key}")
    return image.astype(np.float32)


def _check(key, name, image, shape, bounds):
    """Raise `InputError` unless an image has the right shape and values within bounds."""
    check_image_shape(f"{key} of {name}", image.shape, shape)
    if not np.isfinite(image).all():
        wrong = np.argwhere(~np.isfinite(image))[0][::-1] + 1
        raise InputError(f"{key} must be finite everywhere; got {name} with NaN or infinity, first at pixel {wrong}")
    check_number(f"{key} of {name}, at its lowest,", float(image.min()), **bounds)
    check_number(f"{key} of {name}, at its highest,", float(image.max()), **bounds)
