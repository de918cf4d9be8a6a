"""The chips of multi-extension files."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from astropy.io import fits

from crstack.exceptions import InputError
from crstack.files.fits_reading import opened_fits, plane_shape
from crstack.utils.validation import check_integer

__all__ = ["ALL", "PLANES", "Chip", "check_planes", "chips_of", "names_of"]

#: extensions of all chips
ALL = "all"
#: names of extensions that are not images of a chip
PLANES = {
    *("MASK", "DQ", "BPM", "FLAGS", "MAP", "UNCERT", "ERR", "SIGMA", "VAR", "VARIANCE", "IVAR", "WHT", "SAMP", "TIME"),
    *("MDF", "WCSCORR", "CODES"),
}


@dataclass(frozen=True)
class Chip:
    """One chip of multi-extension files.

    Attributes
    ----------
    number : int
        Number of its extension.
    extname : str
        EXTNAME; "CHIP" if the extension has no name.
    extver : int
        EXTVER; counted from 1 for extensions without a name.
    name : str
        Name of the chip: EXTNAME if no other chip has the same, otherwise with EXTVER, such as "SCI2".
    """

    number: int
    extname: str
    extver: int
    name: str


def chips_of(paths: Sequence[str | os.PathLike], ext: Any = ALL) -> tuple[Chip, ...]:
    """The chips of some files.

    Parameters
    ----------
    paths : sequence of path-like
        FITS files with the same extensions.
    ext : "all", int, str or sequence of (int or str), optional
        Extensions of the chips. "all" are those with a 2-D image, without extensions of masks, uncertainties and the
        like.

    Returns
    -------
    chips : tuple of Chip
        In the order of the extensions.

    Raises
    ------
    InputError
        If there is no such extension, one is given twice, or the files differ.
    """
    first: tuple[Chip, ...] | None = None
    for path in paths:
        with opened_fits(path, "images", checksum=False) as hdus:
            chips = _chips(hdus, path, ext)
        if first is None:
            first = chips
        if chips != first:
            raise InputError(
                f"images must have the same chips; got {names_of(first)} in {paths[0]} and {names_of(chips)} in {path}"
            )
    if not first:
        raise InputError("images must be files with chips; got none")
    return first


def check_planes(chips: Sequence[Chip], options: Mapping[str, Any]) -> None:
    """Raise `InputError` if extensions of data quality or uncertainty are numbers, which are those of one chip.

    Parameters
    ----------
    chips : sequence of Chip
        The chips.
    options : mapping
        With ``dq_ext`` and ``err_ext``, if they are given.
    """
    for name, example in (("dq_ext", "DQ"), ("err_ext", "ERR")):
        if len(chips) > 1 and isinstance(options.get(name), int):
            raise InputError(
                f"{name} must be a name for several chips, such as {example!r}, of which each chip has its own "
                f"extension; got the number {options[name]}"
            )


def names_of(chips: Iterable[Chip]) -> str:
    """Names of the chips, for messages."""
    return ", ".join(chip.name for chip in chips) or "none"


def _chips(hdus: fits.HDUList, path: str | os.PathLike, ext: Any) -> tuple[Chip, ...]:
    """The chips of an open file: all with an image, or those that ``ext`` names."""
    images = [i for i, hdu in enumerate(hdus) if plane_shape(hdu) and hdu.name not in PLANES]
    if isinstance(ext, str) and ext.lower() == ALL:
        numbers = images
    else:
        wanted = (ext,) if isinstance(ext, str | int) else tuple(ext)
        numbers = [_number_of_chip(hdus, path, one, images) for one in wanted]
    if not numbers:
        raise InputError(f"images must hold 2-D images in their extensions; got none in {path}")
    if len(set(numbers)) < len(numbers):
        raise InputError(f"ext must name each chip once; got {list(wanted)}")
    named = [hdus[number].name if number else hdus[0].header.get("EXTNAME", "") for number in numbers]
    bare = [name or "CHIP" for name in named]
    chips = []
    for order, (number, given, name) in enumerate(zip(numbers, named, bare, strict=True), start=1):
        version = hdus[number].ver if given else order
        chips.append(Chip(number, name, int(version), name if bare.count(name) == 1 else f"{name}{version}"))
    if len({chip.name for chip in chips}) < len(chips):
        raise InputError(f"chips of {path} must differ in EXTNAME or EXTVER; got {names_of(chips)}")
    return tuple(chips)


def _number_of_chip(hdus: fits.HDUList, path: str | os.PathLike, ext: Any, images: list[int]) -> int:
    """Number of the extension of one chip, of those with ``images``, from its number or name."""
    if not isinstance(ext, str):
        number = check_integer("ext", ext, minimum=0)
        found = number if number in images else None
    else:
        found = next((i for i in images if hdus[i].name == ext.strip().upper()), None)
    if found is None:
        known = ", ".join(f"{i} ({hdus[i].name})" if hdus[i].name else str(i) for i in images)
        raise InputError(f"ext must be extensions with an image ({known or 'none'}) of {path}; got {ext!r}")
    return found
