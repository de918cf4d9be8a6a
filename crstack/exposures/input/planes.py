"""One exposure for the cube: in counts, bias subtracted, with its bad values and its variance."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, VarianceUncertainty

from crstack.exceptions import InputError
from crstack.exposures.input.given import Reading
from crstack.exposures.input.reading import as_given
from crstack.noise import NoiseModel
from crstack.utils.memory import empty_image, zero_image
from crstack.utils.pixels import at_pixels
from crstack.utils.threads import map_threads, row_bands
from crstack.utils.words import counted, unit_words

__all__ = ["Plane", "image_with_noise", "plane_of"]

#: values of this size mean "no value" (IRAF's INDEF is 1.6e38)
NO_VALUE = 1e30

#: fraction of the read noise below which an uncertainty is not plausible
LEAST_ERROR = 0.01


@dataclass(frozen=True, eq=False)
class Plane:
    """One exposure, ready for the cube.

    Attributes
    ----------
    data : `~numpy.ndarray`
        float32 (ny, nx); 0 at bad values.
    bad : `~numpy.ndarray` of bool or None
    variance : `~numpy.ndarray` or None
        float32; 1 at bad values; None if the exposure has no uncertainty.
    saturated : `~numpy.ndarray` of bool or None
        The bad values that are saturated.
    n_without_error : int
        Values that are bad because their uncertainty is 0 or far below the read noise.
    n_lost : tuple of int
        Values below and above 0 that are bad because their uncertainty is NaN alone.
    """

    data: np.ndarray
    bad: np.ndarray | None
    variance: np.ndarray | None
    saturated: np.ndarray | None = None
    n_without_error: int = 0
    n_lost: tuple[int, int] = (0, 0)


def plane_of(given, offset, *, seconds=1.0, saturation=None, readnoise=0.0, out=None):
    """One exposure in counts, minus its bias.

    Parameters
    ----------
    given : `~crstack.exposures.input.reading.GivenExposure`
        The exposure.
    offset : float or `~numpy.ndarray`
        Bias in counts.
    seconds : float, optional
        Factor for rates.
    saturation : float, `~numpy.ndarray` or None, optional
        Counts from which values are bad, bias included.
    readnoise : float or `~numpy.ndarray`, optional
        Read noise in counts.
    out : `~numpy.ndarray`, optional
        float32 (ny, nx), where the data are written; a new array by default.

    Returns
    -------
    plane : Plane

    Raises
    ------
    InputError
        If the uncertainty has another unit, or no positive value.
    """
    shape, with_error = given.shape, given.uncertainty is not None
    data = empty_image(shape) if out is None else out
    bad, saturated = zero_image(shape, bool), zero_image(shape, bool)
    variance = empty_image(shape) if with_error else None

    def work(rows):
        numbers = (at_pixels(np.asarray(one), rows) for one in (offset, readnoise))
        limit = None if saturation is None else at_pixels(np.asarray(saturation), rows)
        part, n_usable = _part_of_plane(given.rows(rows), *numbers, seconds, limit)
        data[rows], bad[rows] = part.data, part.bad
        if part.saturated is not None:
            saturated[rows] = part.saturated
        if variance is not None:
            variance[rows] = part.variance
        return part.n_without_error, n_usable, part.n_lost

    found = map_threads(work, row_bands(*shape))
    if with_error and not any(n_usable for _, n_usable, _ in found):
        raise InputError(f"uncertainty of {given.name} must be a positive number somewhere; got none")
    without = sum(n_without for n_without, _, _ in found)
    below, above = (sum(n_lost[i] for _, _, n_lost in found) for i in (0, 1))
    if not bad.any():
        return Plane(data, None, variance, None, without)
    return Plane(data, bad, variance, saturated if saturated.any() else None, without, (below, above))


def _part_of_plane(given, offset, readnoise, seconds, saturation):
    """Some rows of an exposure, and the number of their usable uncertainties."""
    # subtract in float64, because float32 has few bits for the fractions of ADU near 65535
    with np.errstate(over="ignore", invalid="ignore"):
        counts = np.asarray(given.data, dtype=np.float64)
        if seconds != 1:
            counts = counts * seconds
        data = (counts - offset).astype(np.float32)
        bad = ~(np.abs(counts) < NO_VALUE)
        saturated = given.saturated
        if saturation is not None:
            over = counts >= saturation
            saturated = over if saturated is None else saturated | over
    if given.mask is not None:
        bad |= given.mask
    if saturated is not None:
        bad |= saturated
    variance, without, n_usable, lost = None, 0, 0, (0, 0)
    if given.uncertainty is not None:
        variance = _variance_of(given, seconds)
        usable = np.isfinite(variance) & (variance > 0)
        small = variance < (LEAST_ERROR * np.asarray(readnoise)) ** 2
        without = int(np.count_nonzero(((variance == 0) | small) & ~bad))
        values = data[np.isnan(variance) & ~bad]
        lost = int(np.count_nonzero(values < 0)), int(np.count_nonzero(values > 0))
        bad |= ~usable | small
        n_usable = int(np.count_nonzero(usable))
    data[bad] = 0
    if variance is not None:
        variance[bad] = 1
    return Plane(data, bad, variance, saturated, without, lost), n_usable


def _variance_of(given, seconds):
    """Variance image of an exposure in counts squared."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        variance = given.uncertainty.represent_as(VarianceUncertainty)
        negative = np.asarray(given.uncertainty.array) < 0
    own_unit = u.Unit(variance.unit or given.unit**2)
    try:
        scale = own_unit.to(given.unit**2)
    except u.UnitConversionError:
        raise InputError(f"uncertainty of {given.name} must be in {given.unit}; got a variance in {own_unit}") from None
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        values = (np.asarray(variance.array, dtype=np.float64) * (scale * seconds**2)).astype(np.float32)
    # the square of a negative standard deviation looks like a good variance
    values[negative] = 0
    return values


def image_with_noise(ccd: CCDData, noise: NoiseModel) -> tuple[np.ndarray, np.ndarray | None, NoiseModel]:
    """Input of a detector from a single CCDData.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        Image (ny, nx) in ``noise.unit``, bias subtracted.
    noise : `~crstack.noise.NoiseModel`
        Noise of the image, if it has no uncertainty.

    Returns
    -------
    image : `~numpy.ndarray`
        Copy of the image, float32 (ny, nx), 0 at bad pixels.
    bad : `~numpy.ndarray` of bool or None
        (ny, nx), True at bad pixels.
    noise : `~crstack.noise.NoiseModel`
        With the variance of the image, if it has an uncertainty.
    """
    if not isinstance(ccd, CCDData):
        raise InputError(f"ccd must be a CCDData; got {type(ccd).__name__}")
    if ccd.data.ndim != 2:
        raise InputError(f"ccd must be a 2-D image; got {counted(ccd.data.ndim, 'dimension')}")
    if not isinstance(noise, NoiseModel):
        raise InputError(
            "noise must be a NoiseModel, such as NoiseModel(gain=2 * u.electron / u.adu, readnoise=6 * u.electron); "
            f"got {type(noise).__name__}"
        )
    if ccd.unit != noise.unit:
        raise InputError(f"ccd must be in the unit of its noise, {noise.unit}; got {unit_words(ccd.unit)}")
    plane = plane_of(as_given(ccd, 1, Reading()), 0.0, readnoise=noise.readnoise_in_unit)
    if plane.bad is not None and plane.bad.all():
        raise InputError("ccd must have valid pixels; got none")
    return plane.data, plane.bad, noise if plane.variance is None else noise.with_known_variance(plane.variance)
