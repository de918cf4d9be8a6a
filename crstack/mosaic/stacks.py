"""A stack for each chip of multi-extension files."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Unpack, overload

from astropy.io import fits
from astropy.nddata import CCDData

from crstack.combine import Combination
from crstack.combine.files import combination_hdulist
from crstack.exceptions import InputError
from crstack.exposures.input.items import exposure_items
from crstack.files.fits_writing import write_fits
from crstack.masks import MaskSet
from crstack.methods import Method
from crstack.mosaic.chips import ALL, Chip, check_planes, chips_of, names_of
from crstack.mosaic.files import joined_chips, primary_of
from crstack.stack import CRStack
from crstack.stages.argument_types import DetectOptions, MosaicCombineOptions, StackOptions
from crstack.stages.arguments import AUTO

__all__ = ["Mosaic", "read_mosaic"]


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
    crstack.mosaic.read_mosaic : Read the chips of files.
    """

    def __init__(self, stacks: Mapping[str, CRStack], chips: Sequence[Chip], header: fits.Header) -> None:
        self._stacks = dict(stacks)
        self.chips = tuple(chips)
        self.header = header

    def __getitem__(self, name: str) -> CRStack:
        if name not in self._stacks:
            raise KeyError(f"chip must be one of {names_of(self.chips)}; got {name!r}")
        return self._stacks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stacks)

    def __len__(self) -> int:
        return len(self._stacks)

    def __repr__(self) -> str:
        n_exposures = len(next(iter(self._stacks.values())))
        return f"<Mosaic of {n_exposures} exposures with the chips {names_of(self.chips)}>"

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
        self, name: str = "auto", *, full_output: bool = False, **options: Unpack[MosaicCombineOptions]
    ) -> dict[str, CCDData] | dict[str, Combination]:
        """Combine the exposures of each chip with its latest masks.

        Parameters
        ----------
        name : str, optional
            The combination, as for `CRStack.combine`.
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
        name: str = "auto",
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
            The combination, as for `CRStack.combine`.
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
    check_planes(chips, options)
    stacks = {chip.name: CRStack(paths, ext=chip.number, **options) for chip in chips}
    return Mosaic(stacks, chips, primary_of(paths[0]))
