"""One exposure as it was given, and how it is to be read."""

from dataclasses import dataclass, field, replace

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import NDUncertainty
from astropy.wcs import WCS

from crstack.exceptions import InputError
from crstack.exposures.quality import bits_of
from crstack.files.units import COUNTS, RATES, check_unit

__all__ = ["GivenExposure", "Reading"]


@dataclass(frozen=True)
class Reading:
    """How exposures are read.

    Parameters
    ----------
    unit : `~astropy.units.Unit`, optional
        Unit of arrays and files, over their BUNIT.
    ext : int, str or None, optional
        Extension of the images; None for the only image of each file, see `crstack.files.fits_reading.only_image`.
    dq_ext, err_ext : int, str or None, optional
        Extensions of data quality and of the uncertainty.
    bits : str, mapping, int or None, optional
        Which bits of the data quality make a value bad: see `crstack.exposures.quality`.

    Raises
    ------
    InputError
        If the unit or the bits are invalid, or bits are given without ``dq_ext``.
    """

    unit: u.UnitBase | str | None = None
    ext: int | str | None = None
    dq_ext: int | str | None = None
    err_ext: int | str | None = None
    bits: object = None

    def __post_init__(self):
        if isinstance(self.ext, list | tuple) or (isinstance(self.ext, str) and self.ext.lower() == "all"):
            raise InputError(f"ext must be one extension; got {self.ext!r}: use crstack.read_mosaic for several chips")
        for name in ("ext", "dq_ext", "err_ext"):
            one = getattr(self, name)
            is_name = isinstance(one, str | int | np.integer) and not isinstance(one, bool)
            if not is_name and one is not None:
                raise InputError(f"{name} must be the number or the name of an extension; got {one!r:.60}")
        if self.unit is not None:
            object.__setattr__(self, "unit", check_unit("unit", self.unit))
        if self.bits is not None:
            bits_of(self.bits)
            if self.dq_ext is None:
                raise InputError(
                    f"dq_ext must be given with bits, the bits of the data quality; got bits={self.bits!r} alone"
                )


@dataclass(frozen=True, eq=False)
class GivenExposure:
    """One exposure as given by the user.

    Attributes
    ----------
    name : str
        File name, or "exposure 1", ...
    data : `~numpy.ndarray`
        (ny, nx), shared with the input.
    unit : `~astropy.units.Unit`
        adu, electron, or one of them per second.
    mask, saturated : `~numpy.ndarray` of bool or None
        Bad values; those that are bad because they are saturated.
    uncertainty : `~astropy.nddata.NDUncertainty` or None
    header : `~astropy.io.fits.Header`
        Header that can be written.
    changes : list of str
        Changes of the header for this.
    wcs : `~astropy.wcs.WCS` or None
    limit : (float, str) or None
        Highest valid value that the header states, and its keyword.
    unused : tuple of (str, str)
        Arguments that would read an extension of the file, and the name of the extension.
    twins : tuple
        Name of the extension and the numbers of all images of this name, if there are several; else empty.
    quality : `~numpy.ndarray` or None
        Image of the bits that make values bad, if an extension of the file holds them.
    mask_bits : `~numpy.ndarray` or None
        The mask of an object as it is given, if it is an image of integers.
    extensions : dict
        Extension of the file that holds "bad values" and "uncertainties", if one does.
    """

    name: str
    data: np.ndarray
    unit: u.UnitBase
    mask: np.ndarray | None = None
    saturated: np.ndarray | None = None
    uncertainty: NDUncertainty | None = None
    header: fits.Header = field(default_factory=fits.Header)
    changes: list = field(default_factory=list)
    wcs: WCS | None = None
    limit: tuple[float, str] | None = None
    unused: tuple = ()
    twins: tuple = ()
    quality: np.ndarray | None = None
    mask_bits: np.ndarray | None = None
    extensions: dict = field(default_factory=dict)

    @property
    def shape(self):
        """(ny, nx)."""
        return self.data.shape

    @property
    def per_second(self):
        """Whether the values are rates."""
        return self.unit in RATES

    @property
    def count_unit(self):
        """adu or electron."""
        return COUNTS[RATES.index(self.unit)] if self.per_second else self.unit

    def rows(self, rows):
        """Some rows (a slice) of the exposure, with the whole header."""
        uncertainty = self.uncertainty
        if uncertainty is not None:
            uncertainty = type(uncertainty)(uncertainty.array[rows], unit=uncertainty.unit)
        images = {name: getattr(self, name) for name in ("data", "mask", "saturated")}
        cut = {name: None if image is None else image[rows] for name, image in images.items()}
        return replace(self, **cut, uncertainty=uncertainty)

    def trimmed(self, section):
        """The exposure within a section (slices of rows and columns)."""

        def cut(image):
            return None if image is None else image[section]

        uncertainty = self.uncertainty
        if uncertainty is not None:
            uncertainty = type(uncertainty)(uncertainty.array[section], unit=uncertainty.unit)
        header = self.header.copy()
        for keyword in ("BIASSEC", "TRIMSEC", "DATASEC", "CCDSEC"):
            header.remove(keyword, ignore_missing=True)
        wcs = self.wcs.slice(section) if isinstance(self.wcs, WCS) else None
        return replace(
            self,
            data=self.data[section],
            mask=cut(self.mask),
            saturated=cut(self.saturated),
            quality=cut(self.quality),
            mask_bits=cut(self.mask_bits),
            uncertainty=uncertainty,
            header=header,
            wcs=wcs,
        )
