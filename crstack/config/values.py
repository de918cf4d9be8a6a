"""Checks of single values of the parameter file: ``check(key, value) -> value``."""

import re
from pathlib import Path
from types import MappingProxyType

import astropy.units as u

from crstack.combine import COMBINATIONS
from crstack.config.crmethod import CRMethod
from crstack.config.detector_images import BOUNDS, KEYWORDS, forms_of, map_name
from crstack.config.document import as_number, parsed_text
from crstack.detectors.conn import MODELS, SUFFIXES
from crstack.exceptions import ConfigurationError, InputError
from crstack.exposures.input.keywords import as_keyword, is_section, quantity_in_words
from crstack.exposures.quality import bits_of
from crstack.masks.local_median import check_local_median
from crstack.utils.process_memory import check_mem_limit
from crstack.utils.registry import BOUNDARIES
from crstack.utils.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_number,
    check_pixel,
    check_region,
)

__all__ = [
    "boolean",
    "boundary_name",
    "boxes",
    "choice",
    "combinations",
    "conn_model",
    "crmethod",
    "extension",
    "fixed_points",
    "flux_factor",
    "image_names",
    "integer",
    "memory",
    "nullable",
    "number",
    "number_or_auto",
    "number_or_map",
    "odd_integer",
    "offsets",
    "paired",
    "parameters",
    "pixels",
    "quality_bits",
    "region",
    "regions",
    "regions_or_text",
    "section",
    "single",
    "single_extension",
    "vote",
]

#: largest count of a detector
LARGEST = 1e12
#: largest factor between equivalent exposures
FACTOR = 1e3
REGION = re.compile(r"\[?\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]?")


def memory(key, value):
    """Check of an amount of memory, such as "2GB": bytes."""
    try:
        return check_mem_limit(value)
    except InputError as error:
        raise ConfigurationError(str(error).replace("mem_limit", key, 1)) from error


def _is_none(value):
    return value is None or (isinstance(value, str) and value.lower() in ("none", "null"))


def number(**bounds):
    """Check of a number of plausible size; ``bounds`` as in `crstack.utils.validation.check_number`."""
    bounds = {"minimum": -LARGEST, "maximum": LARGEST} | bounds
    return lambda key, value: check_number(key, as_number(value), **bounds)


def integer(**bounds):
    """Check of an integer; ``bounds`` as in `crstack.utils.validation.check_integer`."""
    return lambda key, value: check_integer(key, value, **bounds)


def odd_integer(minimum, maximum):
    """Check of an odd integer."""

    def check(key, value):
        if check_integer(key, value, minimum=minimum, maximum=maximum) % 2 == 0:
            raise ConfigurationError(f"{key} must be odd; got {value}")
        return value

    return check


def boolean(key, value):
    """Check of True or False."""
    return check_boolean(key, value)


def choice(*choices):
    """Check of one of a few words."""

    def check(key, value):
        return check_choice(key, value, choices)

    return check


def nullable(check):
    """Check of a value that may be absent."""
    return lambda key, value: None if _is_none(value) else check(key, value)


def paired(check):
    """Check of a value for both passes of a detector, or a pair of values."""

    def checked(key, value):
        if not isinstance(value, list):
            return check(key, value)
        if len(value) != 2:
            raise ConfigurationError(f"{key} must be one value or a pair, one for each pass; got {value}")
        return tuple(check(key, one) for one in value)

    return checked


def single(check):
    """Check of a value that both passes of a detector share; a pair of equal values is accepted."""
    pair = paired(check)

    def checked(key, value):
        value = pair(key, value)
        if not isinstance(value, tuple):
            return value
        if value[0] != value[1]:
            raise ConfigurationError(f"{key} must be one value, the same in both passes; got {list(value)}")
        return value[0]

    return checked


def combinations(key, value):
    """Check of a list of combined images, or of one."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise ConfigurationError(f"{key} must be a list of {', '.join(COMBINATIONS)}; got {value!r}")
    return tuple(check_choice(key, name, COMBINATIONS) for name in names)


def image_names(key, value):
    """Check of the list of images."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ConfigurationError(f"{key} must be a list of two or more FITS files; got {value!r}")
    if len(value) < 2:
        raise ConfigurationError(f"{key} must be a list of two or more FITS files; got {len(value)}")
    return tuple(value)


def extension(key, value):
    """Check of the number, or the name, of a FITS extension; or of those of the chips of a mosaic, or "all"."""
    if isinstance(value, list | tuple):
        if not value:
            raise ConfigurationError(f"{key} must be a number, a name, a list of these, or all; got an empty list")
        return tuple(
            extension(key, one) if isinstance(one, str) else check_integer(key, one, minimum=0) for one in value
        )
    if isinstance(value, str) and value:
        return value.lower() if value.lower() == "all" else value
    return check_integer(key, value, minimum=0)


def single_extension(key, value):
    """Check of the number, or the name, of one FITS extension."""
    return value if isinstance(value, str) and value else check_integer(key, value, minimum=0)


def quality_bits(key, value):
    """Check of the bits of data quality: a convention, a number, or numbers by reason."""
    bits_of(value)
    return MappingProxyType(dict(value)) if isinstance(value, dict) else value


def number_or_map(key, value):
    """Check of a number, of a keyword, or of the name of a FITS file with an image of numbers.

    A bias may also be a section of the exposures in which it is measured.
    """
    value = as_number(value)
    if isinstance(value, list | tuple | dict):
        raise ConfigurationError(
            f"{forms_of(key)}; got {value!r}. Exposures with values of their own have them in their headers, such as "
            f"header:{KEYWORDS[key]}"
        )
    if not isinstance(value, str):
        return check_number(key, value, **BOUNDS[key])
    keyword = as_keyword(value)
    if keyword is not None:
        return f"header:{keyword.name}"
    if key == "bias" and REGION.fullmatch(value.strip()):
        return value.strip()
    unit = u.electron / u.adu if key == "gain" else u.adu
    quantity = quantity_in_words(value, (unit,))
    if quantity is not None:
        return check_number(key, float(quantity.value), **BOUNDS[key])
    return map_name(key, value)


def section(key, value):
    """Check of a section of the exposures, such as "[1:2048,1:4096]", or of a keyword that holds one."""
    keyword = as_keyword(value)
    if keyword is not None:
        return f"header:{keyword.name}"
    if not isinstance(value, str) or not is_section(value):
        raise ConfigurationError(
            f'{key} must be a section such as "[1:2048,1:4096]" (columns, then rows), or a keyword that holds one, '
            f"such as header:TRIMSEC; got {value}"
        )
    return value.strip()


def crmethod(key, value):
    """Check of the method: M.M.Cosmic or the joint decision, registered detectors joined by +, or both."""
    return CRMethod.parse(key, value)


def vote(key, value):
    """Check of the number of votes for a pixel; the number of detectors is checked with other keys."""
    if isinstance(value, str) and value not in ("any", "all"):
        raise ConfigurationError(f"{key} must be any, all or a number of detectors; got {value}")
    return value if isinstance(value, str) else check_integer(key, value, minimum=1)


def boundary_name(key, value):
    """Check of the name of a registered boundary model."""
    own = ("spline", "piecewise")
    return check_choice(key, value, [*own, *(name for name in BOUNDARIES.names() if name not in own)])


def conn_model(key, value):
    """Check of a model of Cosmic-CoNN: its name, or a file."""
    if isinstance(value, str) and Path(value).suffix in SUFFIXES:
        return value
    return check_choice(key, value, MODELS)


def parameters(key, value):
    """Check of the parameters of a plug-in by name; a list becomes a tuple."""
    if _is_none(value):
        return MappingProxyType({})
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(f"{key} must be parameters by name; got {value!r}")
    return MappingProxyType(_plain(value))


def _plain(value):
    """A value with tuples for lists, and numbers for texts that are numbers."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return tuple(_plain(one) for one in value) if isinstance(value, list) else as_number(value)


def flux_factor(key, value):
    """Check of the flux factors: none, a number, one for each image, "auto" or "local"."""
    if _is_none(value):
        return None
    if value in ("auto", "local"):
        return value
    if isinstance(value, str) and value.strip().startswith("["):
        value = parsed_text(value)  # a list in quotes
    many = isinstance(value, list)
    factors = [as_number(factor) for factor in (value if many else [value])]
    wanted = f"{key} must be none, auto, local, a number or a number for each image"
    if not factors or not all(isinstance(factor, int | float) for factor in factors):
        raise ConfigurationError(f"{wanted}; got {value!r}")
    factors = tuple(check_number(key, factor, minimum=0, exclusive=True, maximum=FACTOR) for factor in factors)
    return factors if many else factors[0]


def number_or_auto(**bounds):
    """Check of a number, or the word auto."""
    check = number(**bounds)
    return lambda key, value: value if value == "auto" else check(key, value)


def _listed(key, value, what):
    """A list, or an empty one for nothing; `ConfigurationError` for anything else."""
    if _is_none(value):
        return []
    if not isinstance(value, list):
        raise ConfigurationError(f"{key} must be a list of {what}; got {value!r}")
    return value


def _region(name, value):
    """Check of one region, also as the text ``[xmin:xmax, ymin:ymax]``."""
    text = REGION.fullmatch(value.strip()) if isinstance(value, str) else None
    return check_region(name, [int(number) for number in text.groups()] if text else value)


def region(key, value):
    """Check of one region; FITS convention."""
    return _region(key, value)


def regions(key, value):
    """Check of a list of regions; FITS convention."""
    items = _listed(key, value, "[xmin, xmax, ymin, ymax]")
    return tuple(_region(f"region {i} of {key}", item) for i, item in enumerate(items, start=1))


def regions_or_text(key, value):
    """Check of a list of regions, or of a single one as the text ``[xmin:xmax, ymin:ymax]``."""
    return regions(key, [value] if isinstance(value, str) and REGION.fullmatch(value.strip()) else value)


def offsets(key, value):
    """Check of a list of shifts in pixels, one for each image."""
    pairs = []
    for i, pair in enumerate(_listed(key, value, "[xoffset, yoffset]"), start=1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ConfigurationError(f"pair {i} of {key} must be [xoffset, yoffset]; got {pair!r}")
        pairs.append(tuple(number()(f"pair {i} of {key}", one) for one in pair))
    return tuple(pairs)


def pixels(key, value):
    """Check of a list of pixels; FITS convention."""
    items = _listed(key, value, "[X, Y]")
    if all(type(item) is list and [type(one) for one in item] == [int, int] and min(item) > 0 for item in items):
        return tuple(map(tuple, items))  # a long list is checked as an array
    return tuple(check_pixel(f"pixel {i} of {key}", item) for i, item in enumerate(items, start=1))


def boxes(key, value):
    """Check of a list of pixels with odd widths of a box; FITS convention."""
    items = _listed(key, value, "[X, Y, X_width, Y_width]")
    return tuple(check_local_median(f"pixel {i} of {key}", item) for i, item in enumerate(items, start=1))


def fixed_points(key, value):
    """Check of the points of the boundary: [x, y] or [x, y, weight]."""
    points = []
    for i, point in enumerate(_listed(key, value, "[x, y] or [x, y, weight]"), start=1):
        if not isinstance(point, list) or len(point) not in (2, 3):
            raise ConfigurationError(f"point {i} of {key} must be [x, y] or [x, y, weight]; got {point!r}")
        try:
            points.append(tuple(number()(f"point {i} of {key}", one) for one in point))
        except InputError:
            raise ConfigurationError(
                f"point {i} of {key} must hold finite numbers of at most {LARGEST:g}; got {point}"
            ) from None
    return tuple(points)
