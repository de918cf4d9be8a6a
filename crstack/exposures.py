"""The one door in: from CCDData, NDData, arrays or FITS files to `Exposures`.

Units, bias, masks and uncertainties are dealt with here and nowhere else.
"""

import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, NDData, VarianceUncertainty
from astropy.wcs import FITSFixedWarning

from crstack._validation import check_image_shape, check_quantity
from crstack.exceptions import InputError
from crstack.noise import NoiseModel

__all__ = ["Exposures", "image_with_noise", "load_exposures", "read_exposure"]

MINIMUM_EXPOSURES = 3


@dataclass(frozen=True, eq=False, repr=False)
class Exposures:
    """Equivalent exposures, bias subtracted, with what is known of them.

    Attributes
    ----------
    data : `~numpy.ndarray`
        float32 (N, ny, nx), bias subtracted, in `unit`; 0 at bad pixels.
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx), True at masked pixels, NaN, infinities and pixels without
        a usable uncertainty; None if there is none.
    noise : NoiseModel
        Noise of one exposure by gain and read noise.
    variances : tuple
        For each exposure its own variance image (``unit**2``) or None.
    header : `~astropy.io.fits.Header`
        Header of the first exposure.
    wcs : `~astropy.wcs.WCS` or None
        World coordinates of the first exposure.
    names : tuple of str
        File names, or "exposure 1", ...
    scales : tuple
        What each exposure has been divided by, see `divided_by`; empty if nothing.
    """

    data: np.ndarray
    bad: np.ndarray | None
    noise: NoiseModel
    variances: tuple
    header: fits.Header = field(default_factory=fits.Header)
    wcs: object = None
    names: tuple = ()
    scales: tuple = ()

    def __repr__(self):
        ny, nx = self.shape
        bad = 0 if self.bad is None else np.count_nonzero(self.bad)
        return f"<Exposures: {len(self)} of {nx} x {ny} pixels in {self.unit}, {bad} bad values, {self.noise!r}>"

    def __len__(self):
        return len(self.data)

    @property
    def shape(self):
        """(ny, nx) of one exposure."""
        return self.data.shape[1:]

    @property
    def unit(self):
        """ADU or electron."""
        return self.noise.unit

    @property
    def usable(self):
        """bool (ny, nx): True where every exposure is valid."""
        return np.ones(self.shape, dtype=bool) if self.bad is None else ~self.bad.any(axis=0)

    def bad_of(self, i):
        """Bad-pixel mask of exposure ``i`` (from 0), or None."""
        return None if self.bad is None else self.bad[i]

    def noise_of(self, i):
        """Noise of exposure ``i`` (from 0): its own variances where it brought them."""
        noise = self.noise if self.variances[i] is None else self.noise.with_known_variance(self.variances[i])
        return noise.divided_by(self.scales[i]) if self.scales else noise

    @property
    def share_noise(self):
        """Whether one gain and read noise describe all exposures alike."""
        return not self.scales and all(variance is None for variance in self.variances)

    def divided_by(self, scales):
        """Return the exposures divided by a number or image (ny, nx) each, with their noise."""
        scales = tuple(scale if np.ndim(scale) == 0 else np.asarray(scale, dtype=np.float32) for scale in scales)
        data = np.empty_like(self.data)
        for plane, own, scale in zip(data, self.data, scales, strict=True):
            np.divide(own, np.float32(scale), out=plane)
        if self.scales:
            scales = tuple(old * new for old, new in zip(self.scales, scales, strict=True))
        return replace(self, data=data, scales=scales)

    def minus(self, differences):
        """Return the exposures less one image (ny, nx) each; their noise stays as it is."""
        data = np.empty_like(self.data)
        for plane, own, difference in zip(data, self.data, differences, strict=True):
            np.subtract(own, difference, out=plane)
        if self.bad is not None:
            data[self.bad] = 0
        return replace(self, data=data)

    def cutout(self, box):
        """Return a part of the exposures (``box``: slices of rows and columns); header and WCS stay as they are."""

        def cut(value):
            return value[box] if value is not None and np.ndim(value) else value

        return replace(
            self,
            data=self.data[:, *box],
            bad=None if self.bad is None else self.bad[:, *box],
            noise=self.noise.cutout(box),
            variances=tuple(map(cut, self.variances)),
            scales=tuple(map(cut, self.scales)),
        )

    def reordered(self, order):
        """Return the exposures in another order (indices); header and WCS stay as they are."""
        order = [int(i) for i in order]
        return replace(
            self,
            data=self.data[order],
            bad=None if self.bad is None else self.bad[order],
            variances=tuple(self.variances[i] for i in order),
            names=tuple(self.names[i] for i in order),
            scales=tuple(self.scales[i] for i in order) if self.scales else (),
        )

    def transposed(self):
        """Return the exposures with x and y exchanged; header and WCS stay as they are."""

        def turn(value):
            return value.T if value is not None and np.ndim(value) else value

        noise = replace(self.noise, gain=turn(self.noise.gain), readnoise=turn(self.noise.readnoise))
        return replace(
            self,
            data=self.data.transpose(0, 2, 1),
            bad=None if self.bad is None else self.bad.transpose(0, 2, 1),
            noise=noise,
            variances=tuple(map(turn, self.variances)),
            scales=tuple(map(turn, self.scales)),
        )

    def noise_of_average(self, n_effective):
        """Noise of an average of all exposures worth ``n_effective`` of them."""
        if self.share_noise:
            return self.noise.averaged(n_effective)
        if all(variance is None for variance in self.variances):
            # photon noise of a mean of exposures: that of their mean gain in electrons per unit
            scale = 1 / np.mean(np.broadcast_arrays(*(1 / scale for scale in self.scales)), axis=0)
            return self.noise.divided_by(scale).averaged(n_effective)
        return self.noise.with_known_variance(self.mean_variance(None)).averaged(n_effective)

    def mean_variance(self, expected):
        """Mean over the exposures of the variance of one, at an ``expected`` image."""
        signal = np.zeros(self.shape, np.float32) if expected is None else expected
        if self.share_noise:
            return self.noise.variance(signal).astype(np.float32, copy=False)
        total = 0.0
        for i in range(len(self)):
            total = total + self.noise_of(i).variance(signal)
        return (total / np.float32(len(self))).astype(np.float32)


def read_exposure(path, ext=0, unit=None):
    """Read one exposure from a FITS file.

    Parameters
    ----------
    path : str or path-like
        FITS file, plain or compressed.
    ext : int or str, optional
        Extension that holds the image; 0 is the primary.
    unit : `~astropy.units.Unit`, optional
        Unit of the image. Needed if the header has no BUNIT; overrides it.

    Returns
    -------
    ccd : `~astropy.nddata.CCDData`

    Raises
    ------
    InputError
        If the file is missing, not FITS, or has no 2-D image there.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"exposure must be a FITS file that exists; got {path}")
    try:
        with fits.open(path, memmap=False) as hdus:
            _check_image_extension(hdus, path, ext)
            unit = unit or _unit_of(hdus[ext].header, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            return CCDData.read(path, hdu=ext, unit=unit, memmap=False)
    except InputError:
        raise
    except (OSError, TypeError, ValueError, EOFError) as error:
        raise InputError(f"exposure must be a readable FITS file; got {path} ({error})") from error


def _check_image_extension(hdus, path, ext):
    try:
        hdu = hdus[ext]
    except (IndexError, KeyError):
        known = ", ".join(f"{i} ({hdu.name})" if hdu.name else str(i) for i, hdu in enumerate(hdus))
        raise InputError(f"extension must be one of {known} in {path}; got {ext!r}") from None
    shape = hdu.shape if hdu.is_image else ()
    if len(shape) != 2:
        found = f"{len(shape)} dimensions" if shape else "no image"
        raise InputError(f"extension {ext} of {path} must hold a 2-D image; got {found}")


def _unit_of(header, path):
    if "BUNIT" not in header:
        raise InputError(f"unit must be given for {path}, which has no BUNIT, such as unit=u.adu; got None")
    return None  # CCDData.read knows how to spell it


def _as_ndd(item, ext, unit):
    """Turn one item of the user's list into something with data, mask, unit, ..."""
    if isinstance(item, str | os.PathLike):
        return read_exposure(item, ext, unit)
    if isinstance(item, NDData):
        if item.unit is None and unit is None:
            raise InputError("exposure must have a unit, or unit must be given; got neither")
        return item
    if isinstance(item, u.Quantity):
        return CCDData(item.value, unit=item.unit)
    if isinstance(item, np.ndarray):
        if unit is None:
            raise InputError("unit must be given for plain arrays, such as unit=u.adu; got None")
        return CCDData(item, unit=unit)
    raise InputError(f"exposure must be a CCDData, NDData, array or path; got {type(item).__name__}")


def _variance_of(ndd, unit):
    """Variance image of an exposure in ``unit**2``, or None if it has no uncertainty."""
    if ndd.uncertainty is None:
        return None
    try:
        variance = ndd.uncertainty.represent_as(VarianceUncertainty)
    except (TypeError, AttributeError) as error:
        name = type(ndd.uncertainty).__name__
        raise InputError(
            f"uncertainty must be a standard deviation, variance or inverse variance; got {name}"
        ) from error
    own_unit = variance.unit or unit**2
    with np.errstate(divide="ignore", over="ignore"):
        values = np.asarray(variance.array, dtype=np.float64) * own_unit.to(unit**2)
        return values.astype(np.float32)


def _bad_of(ndd, values, variance):
    """Mask of the pixels that cannot be used, or None."""
    bad = ~np.isfinite(values)
    if ndd.mask is not None:
        bad |= np.broadcast_to(np.asarray(ndd.mask, dtype=bool), bad.shape)
    if variance is not None:
        bad |= ~(np.isfinite(variance) & (variance > 0))
    return bad if bad.any() else None


def _name_of(item, number):
    return os.fspath(item) if isinstance(item, str | os.PathLike) else f"exposure {number}"


def _check_items(items):
    if isinstance(items, str | os.PathLike | NDData):
        raise InputError(f"exposures must be a list of three or more; got a single {type(items).__name__}")
    items = list(items)
    if len(items) < MINIMUM_EXPOSURES:
        raise InputError(f"exposures must be {MINIMUM_EXPOSURES} or more; got {len(items)}")
    return items


def load_exposures(items, *, gain=None, readnoise=None, bias=None, unit=None, ext=0):
    """Read, check and bias-subtract a list of exposures.

    Parameters
    ----------
    items : list
        Three or more CCDData, NDData, Quantity images, plain 2-D arrays or
        paths of FITS files, all of one shape and unit. An iterator such as
        ``ImageFileCollection.ccds()`` will do.
    gain, readnoise : `~astropy.units.Quantity`
        Scalar or image (ny, nx); see `NoiseModel`.
    bias : `~astropy.units.Quantity`, optional
        Scalar or image (ny, nx), subtracted from each exposure; nothing by default.
    unit : `~astropy.units.Unit`, optional
        Unit of arrays and of files without BUNIT.
    ext : int or str, optional
        FITS extension of the images.

    Returns
    -------
    exposures : Exposures

    Raises
    ------
    InputError
        If there are fewer than three, or shapes, units or values do not fit.
    """
    items = _check_items(items)
    first = _as_ndd(items[0], ext, unit)
    noise = NoiseModel(gain, readnoise, u.Unit(first.unit or unit))
    shape = np.shape(first.data)
    if len(shape) != 2:
        raise InputError(f"exposure must be a 2-D image; got {len(shape)} dimensions")
    offset = 0.0
    if bias is not None:
        offset = _in_unit("bias", bias, noise, gain, shape)
    for name, value in (("gain", gain), ("readnoise", readnoise)):
        if value is not None and np.ndim(value):
            check_image_shape(name, np.shape(value), shape)

    cube = np.empty((len(items), *shape), dtype=np.float32)
    bads, variances = [], []
    for i, item in enumerate(items):
        ndd = first if i == 0 else _as_ndd(item, ext, unit)
        name = _name_of(item, i + 1)
        bad, variance = _fill_plane(cube[i], ndd, name, noise.unit, offset)
        bads.append(bad)
        variances.append(variance)
    bad = None
    if any(one is not None for one in bads):
        bad = np.stack([np.zeros(shape, bool) if one is None else one for one in bads])
    header = fits.Header(first.meta) if getattr(first, "meta", None) else fits.Header()
    names = tuple(_name_of(item, i + 1) for i, item in enumerate(items))
    return Exposures(cube, bad, noise, tuple(variances), header, getattr(first, "wcs", None), names)


def _in_unit(name, value, noise, gain, shape):
    """A Quantity in ADU or electrons, in the unit of the exposures."""
    if isinstance(value, u.Quantity) and value.unit != noise.unit and gain is not None:
        if value.unit == u.electron:
            value = value / gain
        elif value.unit == u.adu:
            value = value * gain
    return check_quantity(name, value, noise.unit, shape=shape)


def _fill_plane(plane, ndd, name, unit, offset):
    """Write one exposure minus its bias into ``plane``; return (bad, variance)."""
    own_unit = u.Unit(ndd.unit) if ndd.unit is not None else unit
    if own_unit != unit:
        raise InputError(f"exposures must share one unit; got {unit} for the first and {own_unit} for {name}")
    if np.shape(ndd.data) != plane.shape:
        raise InputError(
            f"exposures must share one shape; got {plane.shape} for the first and {np.shape(ndd.data)} for {name}"
        )
    # the difference is taken in float64: ADU near 65535 leave few bits in float32
    with np.errstate(over="ignore", invalid="ignore"):
        plane[...] = np.asarray(ndd.data, dtype=np.float64) - offset
    variance = _variance_of(ndd, unit)
    if variance is not None:
        check_image_shape(f"uncertainty of {name}", variance.shape, plane.shape)
    bad = _bad_of(ndd, plane, variance)
    if bad is not None:
        if bad.all():
            raise InputError(f"exposures must have valid pixels; got none in {name}")
        plane[bad] = 0
        if variance is not None:
            variance[bad] = 1
    return bad, variance


def image_with_noise(ccd, noise):
    """What a detector needs of a single CCDData.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        Image (ny, nx) in ``noise.unit``, bias subtracted.
    noise : `~crstack.noise.NoiseModel`
        Noise of the image, if it brings no uncertainty.

    Returns
    -------
    image : `~numpy.ndarray`
        float32, a copy, 0 at bad pixels.
    bad : `~numpy.ndarray` of bool or None
    noise : `~crstack.noise.NoiseModel`
        With the variance of the image, if it brings an uncertainty.
    """
    if not isinstance(ccd, CCDData):
        raise InputError(f"ccd must be a CCDData; got {type(ccd).__name__}")
    if ccd.data.ndim != 2:
        raise InputError(f"ccd must be a 2-D image; got {ccd.data.ndim} dimensions")
    if ccd.unit != noise.unit:
        raise InputError(f"ccd must be in the unit of its noise, {noise.unit}; got {ccd.unit}")
    image = np.empty(ccd.shape, dtype=np.float32)
    bad, variance = _fill_plane(image, ccd, "ccd", noise.unit, 0.0)
    return image, bad, noise if variance is None else noise.with_known_variance(variance)
