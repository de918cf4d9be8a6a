"""Mosaics: a stack for each chip of multi-extension files, and files that hold all chips."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack, overload

from astropy.io import fits
from astropy.nddata import CCDData

from crstack.combine import Combination
from crstack.combine.files import combination_hdulist
from crstack.exceptions import InputError
from crstack.exposures.headers import cleaned_header
from crstack.exposures.items import exposure_items
from crstack.files.fits_reading import opened_fits, plane_shape
from crstack.files.fits_writing import write_fits
from crstack.files.headers import CHIP
from crstack.masks import MaskSet
from crstack.methods import Method
from crstack.stack import CRStack
from crstack.stages.arguments import AUTO, DetectOptions, MosaicCombineOptions, StackOptions
from crstack.utils.validation import check_integer

__all__ = ["ALL", "Chip", "Mosaic", "chips_of", "copied", "joined_chips", "primary_of", "read_mosaic"]

ALL = "all"

#: extensions that are no images of a chip
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
                f"images must have the same chips; got {_names(first)} in {paths[0]} and {_names(chips)} in {path}"
            )
    if not first:
        raise InputError("images must be files with chips; got none")
    return first


def _names(chips: Iterable[Chip]) -> str:
    return ", ".join(chip.name for chip in chips) or "none"


def _chips(hdus: fits.HDUList, path: str | os.PathLike, ext: Any) -> tuple[Chip, ...]:
    images = [i for i, hdu in enumerate(hdus) if plane_shape(hdu) and hdu.name not in PLANES]
    if isinstance(ext, str) and ext.lower() == ALL:
        numbers = images
    else:
        wanted = (ext,) if isinstance(ext, str | int) else tuple(ext)
        numbers = [_number(hdus, path, one, images) for one in wanted]
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
        raise InputError(f"chips of {path} must differ in EXTNAME or EXTVER; got {_names(chips)}")
    return tuple(chips)


def _number(hdus: fits.HDUList, path: str | os.PathLike, ext: Any, images: list[int]) -> int:
    if not isinstance(ext, str):
        number = check_integer("ext", ext, minimum=0)
        found = number if number in images else None
    else:
        found = next((i for i in images if hdus[i].name == ext.strip().upper()), None)
    if found is None:
        known = ", ".join(f"{i} ({hdus[i].name})" if hdus[i].name else str(i) for i in images)
        raise InputError(f"ext must be extensions with an image ({known or 'none'}) of {path}; got {ext!r}")
    return found


def primary_of(path: str | os.PathLike) -> fits.Header:
    """The primary header of a file, as FITS can hold it.

    Parameters
    ----------
    path : str or path-like
        FITS file.
    """
    with opened_fits(path, "images", checksum=False) as hdus:
        return cleaned_header(hdus[0].header)[0]


def copied(hdu: fits.ImageHDU) -> fits.ImageHDU:
    """A copy of an extension, with its scale, which `~astropy.io.fits.ImageHDU.copy` removes.

    Parameters
    ----------
    hdu : `~astropy.io.fits.ImageHDU`
        The extension.
    """
    new = hdu.copy()
    for keyword in ("BSCALE", "BZERO"):
        if keyword in hdu.header and keyword not in new.header:
            new.header[keyword] = hdu.header[keyword]
    return new


def joined_chips(primary: fits.Header, parts: Iterable[tuple[Chip, fits.HDUList]]) -> fits.HDUList:
    """One file of the files of all chips.

    Parameters
    ----------
    primary : `~astropy.io.fits.Header`
        Primary header.
    parts : iterable of (Chip, `~astropy.io.fits.HDUList`)
        The file of each chip, such as of `~crstack.combine.files.combination_hdulist`.

    Returns
    -------
    hdus : `~astropy.io.fits.HDUList`
        A primary without data, then the extensions of each chip. The image of a chip has its EXTNAME and EXTVER; the
        EXTVER of the other extensions is the number of the chip, from 1. CRCHIP is the name of the chip. Cards of a
        primary without data are moved to the first extension of the chip.
    """
    hdus = fits.HDUList([fits.PrimaryHDU(header=primary)])
    names = []
    for order, (chip, part) in enumerate(parts, start=1):
        names.append(chip.name)
        moved = fits.Header() if part[0].data is not None else cleaned_header(part[0].header)[0]
        for number, hdu in enumerate(part):
            if hdu.data is None:
                continue
            if number == 0:
                new = fits.ImageHDU(hdu.data, cleaned_header(hdu.header)[0], name=chip.extname, ver=chip.extver)
                new.header["BUNIT"] = hdu.header["BUNIT"]
            else:
                new = copied(hdu)
                new.ver = order
            new.header.extend(moved.cards, unique=True)
            moved = fits.Header()
            new.header[CHIP] = (chip.name, "chip of the mosaic")
            hdus.append(new)
    hdus[0].header["NCHIPS"] = (len(names), "number of chips")
    return hdus


class Mosaic(Mapping[str, CRStack]):
    """Stacks of the chips of multi-extension files, by the name of the chip.

    Parameters
    ----------
    stacks : mapping of str to CRStack
        By name of the chip.
    chips : sequence of Chip
        The chips, in the same order.
    header : `~astropy.io.fits.Header`
        Primary header of the first file.

    See Also
    --------
    read_mosaic
    """

    def __init__(self, stacks: Mapping[str, CRStack], chips: Sequence[Chip], header: fits.Header) -> None:
        self._stacks = dict(stacks)
        self.chips = tuple(chips)
        self.header = header

    def __getitem__(self, name: str) -> CRStack:
        if name not in self._stacks:
            raise KeyError(f"chip must be one of {_names(self.chips)}; got {name!r}")
        return self._stacks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stacks)

    def __len__(self) -> int:
        return len(self._stacks)

    def __repr__(self) -> str:
        n_exposures = len(next(iter(self._stacks.values())))
        return f"<Mosaic of {n_exposures} exposures with the chips {_names(self.chips)}>"

    def detect(
        self,
        method: Method | str = AUTO,
        **options: Unpack[DetectOptions],
    ) -> dict[str, MaskSet]:
        """Find the cosmic rays of each chip.

        Parameters
        ----------
        method : Method or str, optional
            The method.
        **options
            ``aux``, ``boundary``, ``vote``, ``aux_noise``, ``rules``, ``max_fraction`` and ``progress``, as for
            `CRStack.detect`.

        Returns
        -------
        masks : dict of str to MaskSet
            By name of the chip.
        """
        return {name: stack.detect(method, **options) for name, stack in self.items()}

    @overload
    def combine(
        self, name: str = ..., *, full_output: Literal[False] = ..., **options: Unpack[MosaicCombineOptions]
    ) -> dict[str, CCDData]:
        """Combine the exposures of each chip."""

    @overload
    def combine(
        self, name: str = ..., *, full_output: Literal[True], **options: Unpack[MosaicCombineOptions]
    ) -> dict[str, Combination]:
        """Combine the exposures of each chip, with the number of values used and flags for each pixel."""

    def combine(
        self, name: str = "meancr2", *, full_output: bool = False, **options: Unpack[MosaicCombineOptions]
    ) -> dict[str, CCDData] | dict[str, Combination]:
        """Combine the exposures of each chip with its latest masks.

        Parameters
        ----------
        name : str, optional
            The combination.
        full_output : bool, optional
            Return count and flags too.
        **options
            ``use_auxmedian``, ``variance``, ``unbiased``, ``fill`` and ``weights``, as for `CRStack.combine`.

        Returns
        -------
        combined : dict of str to `~astropy.nddata.CCDData` or Combination
            By name of the chip.
        """
        if full_output:
            return {chip: stack.combine(name, full_output=True, **options) for chip, stack in self.items()}
        return {chip: stack.combine(name, **options) for chip, stack in self.items()}

    def write(
        self,
        path: str | os.PathLike,
        name: str = "meancr2",
        *,
        overwrite: bool = False,
        **options: Unpack[MosaicCombineOptions],
    ) -> None:
        """Write a combination of all chips to one file.

        Parameters
        ----------
        path : str or path-like
            ``.fits``, ``.fits.gz`` or ``.fits.fz``.
        name : str, optional
            The combination.
        overwrite : bool, optional
            Replace the file if it exists; otherwise an existing file is an error.
        **options
            As for `combine`.

        Notes
        -----
        Each chip has its image, with its EXTNAME and EXTVER, and the extensions VARIANCE, MAP, MASK and FLAGS; the
        primary header is that of the first exposure. ``crstack.read(path, chip=...)`` reads one chip.
        """
        made = (self[chip.name].combine(name, full_output=True, **options) for chip in self.chips)
        parts = ((chip, combination_hdulist(one)) for chip, one in zip(self.chips, made, strict=True))
        write_fits(path, joined_chips(self.header, parts), overwrite=overwrite)

    def write_masks(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Write the latest masks of all chips to one file; ``MaskSet.read(path, chip=...)`` reads those of one.

        Parameters
        ----------
        path : str or path-like
            ``.fits``, ``.fits.gz`` or ``.fits.fz``.
        overwrite : bool, optional
            Replace the file if it exists; otherwise an existing file is an error.
        """
        parts = ((chip, self[chip.name].latest_masks().to_hdulist()) for chip in self.chips)
        write_fits(path, joined_chips(self.header, parts), overwrite=overwrite)


def read_mosaic(
    exposures: str | os.PathLike | Iterable[Any], *, ext: Any = ALL, **options: Unpack[StackOptions]
) -> Mosaic:
    """Read every chip of multi-extension files.

    Parameters
    ----------
    exposures : list of path-like, path with wildcards or ImageFileCollection
        FITS files with the same extensions.
    ext : "all" or sequence of (int or str), optional
        The chips: see `chips_of`.
    **options
        Those of `CRStack`, for each chip. ``gain="header:GAIN"`` is read from the header of each extension.

    Returns
    -------
    mosaic : Mosaic
        A mapping of `CRStack` by the name of the chip.

    Raises
    ------
    InputError
        If the files have different chips, or a stack cannot be made.

    Examples
    --------
    >>> import crstack
    >>> mosaic = crstack.read_mosaic("raw/n*.fits", gain="header:GAIN", readnoise="header:RDNOISE")  # doctest: +SKIP
    >>> mosaic.detect()  # doctest: +SKIP
    >>> mosaic.write("combined.fits", "meanjoint")  # doctest: +SKIP
    """
    paths = exposure_items(exposures)
    if not all(isinstance(path, str | os.PathLike) for path in paths):
        raise InputError("exposures of a mosaic must be FITS files; got other objects")
    chips = chips_of(paths, ext)
    stacks = {chip.name: CRStack(paths, ext=chip.number, **options) for chip in chips}
    return Mosaic(stacks, chips, primary_of(paths[0]))
