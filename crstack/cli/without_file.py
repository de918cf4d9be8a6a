"""``crstack run *.fits --gain 1.2 ...``: options instead of a parameter file."""

import re
from pathlib import Path

import astropy.units as u

from crstack.config.configuration import Configuration
from crstack.config.image_names import is_file, matching_images
from crstack.config.keys import checked_values
from crstack.exceptions import InputError
from crstack.exposures.input.keywords import as_keyword, quantity_in_words, quantity_of
from crstack.exposures.input.products import without_products
from crstack.files.decompressed import ENDING
from crstack.files.fits_reading import inspect_image, only_image
from crstack.mosaic.chips import ALL, chips_of

__all__ = ["are_images", "configuration_of_options", "refuse_directories"]

#: placeholder for the name of a parameter file
NOWHERE = "command line"
#: the method by default
METHOD = "joint"
FITS_NAME = re.compile(f".*{ENDING}", re.IGNORECASE)
READNOISE = (
    "readnoise must be a number in electron or adu, such as '4 electron' or '2.1 adu', or a keyword such as "
    "header:RDNOISE"
)


def are_images(names):
    """Whether the names are those of images; a single name may be a parameter file.

    Raises
    ------
    InputError
        If they are neither.
    """
    refuse_directories(names, "arguments of run must be FITS files or a parameter file")
    images = [FITS_NAME.fullmatch(name) is not None for name in names]
    if all(images):
        return True
    if len(names) == 1:
        return False
    other = names[images.index(False)]
    raise InputError(
        f"arguments of run must be one parameter file or FITS files alone; got {other} among {len(names)}. The "
        "names of FITS files end in .fits, .fit or .fts, or in these and .gz, .bz2, .fz, .xz or .Z"
    )


def refuse_directories(names, rule):
    """Raise `InputError` if one of some names is that of a directory; the message begins with a ``rule``."""
    for name in names:
        if Path(name).is_dir():
            raise InputError(f"{rule}; got the directory {name}: write {Path(name) / '*.fits'}{_files_of(Path(name))}")


def _files_of(directory):
    """Words on the FITS files of a directory."""
    try:
        n = sum(FITS_NAME.fullmatch(one.name) is not None for one in directory.iterdir())
    except OSError:
        return ""
    return f" ({n} FITS file{'' if n == 1 else 's'} there)" if n else " (no FITS file is there)"


def configuration_of_options(
    images,
    *,
    gain=None,
    readnoise=None,
    bias=None,
    saturation=None,
    trim=None,
    max_fraction=None,
    dq_ext=None,
    err_ext=None,
    bits=None,
    method=None,
    differences=None,
    ext=None,
):
    """The configuration of the options.

    Parameters
    ----------
    images : list of str
        FITS files, or patterns.
    gain : str or None
        A number in electron/adu, or a keyword such as "header:GAIN"; not needed for exposures in electrons.
    readnoise : str or None
        With its unit, or a keyword.
    bias : str or None
        A number in the unit of the exposures, a keyword, or a section; 0 by default.
    saturation : str or None
        A number in the unit of the exposures, bias included, or a keyword.
    max_fraction : float or None
        As in the parameter file.
    trim : str or None
        Section to keep, or a keyword.
    dq_ext, err_ext, bits : str or None
        As in the parameter file.
    method : str or None
        As ``crmethod`` of the parameter file.
    differences : str or None
        As in the parameter file.
    ext : list of str or None
        Number or name of the extension; by default that of the only image of the first file, or 0. Several, or "all",
        for the chips of a mosaic.

    Returns
    -------
    configuration : `~crstack.config.configuration.Configuration`

    Raises
    ------
    InputError
        If an option is wrong or missing.
    """
    gain = _without_unit("gain", gain, u.electron / u.adu, "electron/adu")
    images = _existing_images(images)
    exts = [_number_or_text(one) for one in ext] if ext else [only_image(images[0], what="images")]
    ext = exts if len(exts) > 1 else exts[0]
    info = _stated(images[0], ext)
    unit = u.adu if info.unit is None else info.unit
    bias, saturation = (
        _without_unit(name, value, unit, str(unit)) for name, value in (("bias", bias), ("saturation", saturation))
    )
    if gain is None:
        gain = _gain_of_unit(unit)
    top = {
        "images": images,
        "extnum": ext,
        "gain": _number_or_text(gain),
        "rnoise": _readnoise(readnoise, _electrons_per_adu(gain, info.header, images[0])),
        # in a parameter file it is in ADU
        "bias": 0.0 if bias is None else _number_or_text(bias),
    }
    optional = {"saturation": saturation, "trim": trim, "dq_ext": dq_ext, "err_ext": err_ext, "bits": bits}
    top |= {name: None if value is None else _number_or_text(value) for name, value in optional.items()}
    requirements = {"crmethod": METHOD if method is None else method, "max_fraction": max_fraction}
    requirements["differences"] = differences
    return Configuration.of(Path(NOWHERE), checked_values(top, requirements))


def _existing_images(names):
    """The files of names or patterns, without products of crstack."""
    # a shell has replaced the patterns
    images = without_products(matching_images(names, "."))
    missing = [name for name in images if not is_file(name)]
    if missing:
        raise InputError(f"images must be files that exist; got {missing[0]}")
    return images


def _gain_of_unit(unit):
    """The gain of exposures in electrons, as text; `InputError` for exposures in ADU, whose gain must be given."""
    if unit not in (u.electron, u.electron / u.s):
        raise InputError("gain must be given, such as --gain 1.2 (electron/adu) or --gain header:GAIN; got nothing")
    return "1"


def _stated(image, ext):
    """Information from the header of an extension; that of the first chip if there are several."""
    several = isinstance(ext, list) or str(ext).lower() == ALL
    return inspect_image(image, chips_of([image], ext)[0].number if several else ext, what="images", name="--ext")


def _number_or_text(text):
    """The number that a text is, or else the text."""
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if text.strip().isdecimal() else value


def _without_unit(name, text, unit, shown):
    """A number with its unit, as text of the number in ``unit``; text without a unit, and other text, as it is."""
    if text is None or FITS_NAME.match(text) or as_keyword(text) is not None:
        return text
    quantity = quantity_in_words(text, (unit, 1 / unit) if name == "gain" else (unit,))
    if quantity is not None:
        if name == "gain" and quantity.value <= 0:
            raise InputError(f"{name} must be greater than 0; got {text!r}")
        return repr(float((quantity if quantity.unit == unit else 1 / quantity).value))
    number = text.strip().split(" ")[0]
    if isinstance(_number_or_text(number), str) or number == text.strip():
        return text
    kind = "number greater than 0" if name == "gain" else "number"
    raise InputError(f"{name} must be a {kind} in {shown}, such as '{number} {shown}'; got {text!r}")


def _electrons_per_adu(gain, header, name):
    """The gain as a number: a keyword is read from the first image."""
    keyword = as_keyword(gain)
    if keyword is not None:
        return quantity_of(header, keyword, "gain", u.electron / u.adu, str(name))[0].value
    value = _number_or_text(gain)
    if isinstance(value, str) or value <= 0:
        raise InputError(
            f"gain must be a number greater than 0, or a keyword such as header:GAIN, in electron/adu; got {gain!r}"
        )
    return value


def _readnoise(text, gain):
    """The read noise in ADU, or the keyword that holds it."""
    if text is None:
        raise InputError(f"{READNOISE}; got nothing")
    if as_keyword(text) is not None:
        return text
    value = quantity_in_words(text, (u.electron, u.adu))
    if value is None:
        raise InputError(f"{READNOISE}; got {text!r}")
    if value.value <= 0:
        raise InputError(f"readnoise must be a number greater than 0; got {text!r}")
    return float(value.value) / (gain if value.unit == u.electron else 1)
