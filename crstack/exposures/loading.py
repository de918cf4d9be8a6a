"""Conversion of a list of exposures to `Exposures`."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import astropy.units as u
import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.as_read import AsRead
from crstack.exposures.bad_values.saturation import find_plateau, limit_with_noise
from crstack.exposures.blank import is_constant
from crstack.exposures.checks import checked
from crstack.exposures.cube import Exposures
from crstack.exposures.input.given import Reading
from crstack.exposures.input.instrument import Instrument
from crstack.exposures.input.items import MINIMUM_EXPOSURES, exposure_items
from crstack.exposures.input.keywords import Keyword
from crstack.exposures.input.overscan import warn_of_overscan
from crstack.exposures.input.place import choose_place
from crstack.exposures.input.planes import plane_of
from crstack.exposures.input.reading import as_given, warn_of_cards
from crstack.files.names import short_names
from crstack.utils.memory import empty_image, relax, zero_image
from crstack.utils.validation import check_boolean, check_image_shape
from crstack.utils.warn import warn_user

__all__ = ["digest_of", "load_exposures"]

#: smallest image, in pixels along either axis
MINIMUM_LENGTH = 5

#: fraction of saturated values of an exposure that gives a warning, and fraction that is an error in all exposures
MANY_SATURATED, NEARLY_ALL = 0.1, 0.99

#: fraction of masked values of an exposure that gives a warning
MANY_MASKED = 0.75
#: fraction of values below 0 with NaN as uncertainty from which there is a warning, if few such values are above 0
MANY_LOST, FEW_ABOVE = 0.001, 0.1

#: approximate number of rows whose digest identifies an exposure
ROWS_OF_DIGEST = 64

#: what a mask means
INVERTED = "a mask is True where a value is bad: is it inverted?"

#: largest number of exposures with which crstack is tested
MOST_TESTED = 25


def load_exposures(
    items: str | os.PathLike | Iterable[Any],
    *,
    gain: Any = None,
    readnoise: Any = None,
    bias: Any = None,
    unit: u.UnitBase | str | None = None,
    ext: int | str = 0,
    exptime: Any = None,
    saturation: Any = None,
    trim: Any = None,
    dq_ext: int | str | None = None,
    err_ext: int | str | None = None,
    bits: str | int | Mapping[str, int] | None = None,
    drop_unusable: bool = False,
) -> Exposures:
    """Read, check and bias-subtract a list of exposures.

    Parameters
    ----------
    items : list, path with wildcards or ImageFileCollection
        CCDData, NDData, Quantity images, plain 2-D arrays or paths of FITS files, all of one shape and unit. An
        iterator such as ``ImageFileCollection.ccds()`` is accepted too.
    gain, readnoise : `~astropy.units.Quantity`, "header:NAME" or Keyword
        Scalar or image (ny, nx), see `NoiseModel`; or a keyword of the header, see
        `~crstack.exposures.Keyword`. Images of these, of the bias and of the saturation may be a CCDData.
    bias : `~astropy.units.Quantity`, "header:NAME", Keyword or str, optional
        Scalar or image (ny, nx), subtracted from each exposure; nothing by default. A list of N of these has one for
        each exposure. With a section such as
        "[2049:2080,1:4096]", or a keyword that holds one ("header:BIASSEC"), the median of each exposure in this
        section is subtracted.
    unit : `~astropy.units.Unit`, optional
        Unit of arrays and of files, over their BUNIT: adu, electron, or either per second.
    ext : int or str, optional
        FITS extension of the images.
    exptime : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Exposure time, one for all or one each. By default EXPTIME, EXPOSURE, XPOSURE, EFFEXPTM
        or ITIME of the headers. Needed for exposures in a unit per second.
    saturation : `~astropy.units.Quantity`, "header:NAME" or Keyword, optional
        Level, bias included, from which values are bad; or a list of N.
    trim : str or Keyword, optional
        Section to keep, such as "[1:2048,1:4096]" or "header:TRIMSEC".
    dq_ext, err_ext : int or str, optional
        Extensions of data quality and of the uncertainty in the files.
    bits : str, mapping or int, optional
        Bits of the data quality: see `crstack.exposures.quality.bits_of`. By default any bit makes a value bad.
    drop_unusable : bool, optional
        Continue without exposures that hold one value everywhere, instead of raising an error, and without those of
        another field.

    Returns
    -------
    exposures : Exposures
        Cube (N, ny, nx) with the bias subtracted, bad values, unit, noise and headers.

    Raises
    ------
    InputError
        If there are too few exposures, if shapes, units or values disagree, or if an exposure is blank or given twice.

    Warns
    -----
    CRStackWarning
        If the files have data quality or uncertainties that are not read. If part of an exposure is blank. If an
        exposure is of another field, or without light. If the scatter of the exposures disagrees with the noise. If
        values seem saturated and ``saturation`` is not given. If uncertainties are 0. If exposure times differ.
    """
    check_boolean("drop_unusable", drop_unusable)
    reading = Reading(unit, ext, dq_ext, err_ext, bits)
    values = Instrument(gain, readnoise, bias, saturation, exptime, trim)
    listed = exposure_items(items)
    if len(listed) > MOST_TESTED:
        warn_user(
            f"crstack is tested with up to {MOST_TESTED} exposures; got {len(listed)}: time and memory grow with their "
            "number. Consider a combination of parts of the list"
        )
    choose_place(listed, reading, values.trim)
    builder = _Builder(values, len(listed))
    for number, item in enumerate(listed, start=1):
        builder.add(as_given(item, number, reading), number)
    exposures = builder.exposures(drop_unusable)
    read = AsRead(builder.first.data, builder.same, builder.first.unit, builder.plateaus)
    return checked(exposures, bias_given=_not_zero(bias), drop=drop_unusable, read=read)


def _percent(fraction):
    """A fraction as text that does not become 100 % by rounding."""
    return f"{100 * fraction:.{0 if fraction < 0.99 else 2}f} %"


def _not_zero(bias):
    """Whether a bias is given, and is not 0."""
    return bias is not None and (not isinstance(bias, u.Quantity) or bool(np.any(bias.value)))


class _Builder:
    """Adds the exposures to the cube, one by one."""

    def __init__(self, values, n):
        self.values, self.n = values, n
        self.cube = self.first = self.noise = None
        self.planes, self.headers, self.seconds, self.names, self.digests = [], [], [], [], []
        self.plateaus, self.masked = [], []
        # pixels that have the same value in all exposures so far
        self.same = None

    def add(self, raw, number):
        """Add one exposure."""
        values = self.values.of_exposure(number, self.n)
        section = values.trimming(raw)
        if self.first is None and section is None:
            warn_of_overscan(raw.header, raw.data, raw.name)
        given = raw if section is None else raw.trimmed(section)
        if self.first is None:
            self._begin(given)
        self._check_like_first(given)
        noise = self.values.noise(given, raw.shape, section)
        if self.noise is None:
            self.noise = noise
            for name, value in (("gain", noise.gain), ("readnoise", noise.readnoise)):
                if value is not None and np.ndim(value):
                    check_image_shape(name, np.shape(value), given.shape)
        seconds = self.values.seconds(given, number, self.n)
        if given.per_second and seconds is None:
            raise InputError(
                f"exptime must be given for exposures in {given.unit}, such as exptime=300 * u.s; got none above 0 in "
                f"the header of {given.name}"
            )
        self._find_plateau(given, noise, seconds, number)
        bias = values.offset(raw, noise, seconds, raw.shape, section)
        plane = plane_of(
            given,
            bias,
            seconds=seconds if given.per_second else 1.0,
            saturation=_limit_of(values, given, noise, seconds, raw, section),
            readnoise=noise.readnoise_in_unit,
            out=self.cube[number - 1],
        )
        self.digests.append(digest_of(raw.data))
        self.masked.append(0.0 if given.mask is None else float(np.mean(given.mask)))
        if number > 1:
            equal = np.equal(given.data, self.first.data)
            self.same = equal if self.same is None else np.logical_and(self.same, equal, out=self.same)
        self._keep(values.header_of_result(given, bias), given.wcs, plane, seconds, given.name)

    def _find_plateau(self, given, noise, seconds, number):
        """Find saturated values of an exposure for which no saturation is given."""
        if self.values.saturation is not None or given.saturated is not None:
            return
        electrons = float(np.median(noise.electrons_per_unit)) * (seconds if given.per_second else 1.0)
        # an uncertainty that is given may be that of an average, which scatters less than photons
        own = given.uncertainty is not None
        plateau = find_plateau(given.data, given.mask, given.limit, None if own else electrons)
        if plateau is not None:
            self.plateaus.append((number - 1, plateau))

    def _begin(self, given):
        """Take shape, unit and header from the first exposure."""
        warn_of_cards(given.name, given.changes)
        _warn_of_extensions(given)
        if min(given.shape) < MINIMUM_LENGTH:
            raise InputError(
                f"exposures must be at least {MINIMUM_LENGTH} x {MINIMUM_LENGTH} pixels; got the shape {given.shape}"
            )
        self.first = given
        self.cube = empty_image((self.n, *given.shape))

    def _check_like_first(self, given):
        """Raise `InputError` unless an exposure has the unit and the shape of the first one."""
        first = self.first
        if given.unit != first.unit:
            raise InputError(
                f"exposures must share one unit; got {first.unit} for the first and {given.unit} for {given.name}"
            )
        if given.shape != first.shape:
            raise InputError(
                f"exposures must share one shape; got {first.shape} for the first and {given.shape} for {given.name}"
            )

    def _keep(self, header, wcs, plane, seconds, name):
        """Keep what belongs to one exposure, except its values, which are in the cube."""
        self.planes.append(replace(plane, data=None))
        self.headers.append((header, wcs))
        self.seconds.append(seconds)
        self.names.append(name)

    def _check_saturation(self):
        """Refuse a saturation level below all values, and warn of one below many."""
        if self.values.saturation is None:
            return
        over = {
            name: float(np.mean(plane.saturated))
            for name, plane in zip(self.names, self.planes, strict=True)
            if plane.saturated is not None
        }
        many = {name: fraction for name, fraction in over.items() if fraction > MANY_SATURATED}
        if not many:
            return
        level = self.values.saturation
        shown = f"the keyword {level.name}" if isinstance(level, Keyword) else f"{np.min(u.Quantity(level)):g}"
        name, fraction = max(many.items(), key=lambda pair: pair[1])
        words = (
            f"{100 * fraction:.1f} % of the values of {name} are at or above the saturation of {shown}, "
            f"in {len(many)} of {len(over)} exposures more than {100 * MANY_SATURATED:g} %"
        )
        remedy = "Check the number and its unit; it includes the bias"
        if min(over.values()) > NEARLY_ALL:
            raise InputError(f"saturation must be higher than most values; got {shown}: {words}. {remedy}")
        warn_user(f"{words}; they are bad values. {remedy}")

    def _warn_of_masks(self, kept):
        """Warn of masks that cover most of the exposures that are used."""
        many = [i for i in kept if self.masked[i] > MANY_MASKED]
        if not many:
            return
        most = max(many, key=lambda i: self.masked[i])
        others = f", and more than three quarters of those of {len(many) - 1} more" if len(many) > 1 else ""
        warn_user(f"{_percent(self.masked[most])} of the values of {self.names[most]} are masked{others}; {INVERTED}")

    def _usable(self, drop):
        """Indices of the exposures that can be used."""
        self._check_saturation()
        reasons = {}
        for i, (image, plane) in enumerate(zip(self.cube, self.planes, strict=True)):
            if plane.bad is not None and plane.bad.all():
                reasons[i] = f"exposures must have valid pixels; got none in {self.names[i]}"
                if self.masked[i] == 1:
                    reasons[i] += f", where all are masked ({INVERTED})"
            elif is_constant(image, plane.bad):
                value = image[0, 0] if plane.bad is None else image[~plane.bad][0]
                reasons[i] = f"exposures must not be blank; got {value:g} everywhere in {self.names[i]}"
        kept = [i for i in range(self.n) if i not in reasons]
        if reasons and len(kept) < MINIMUM_EXPOSURES:
            unusable = ", ".join(self.names[i] for i in reasons)
            raise InputError(
                f"exposures must be {MINIMUM_EXPOSURES} or more that are usable; got {len(kept)}, because each of "
                f"{unusable} is blank or without valid pixels. Check the files, ext and saturation: "
                "drop_unusable=True (command: --drop-unusable) leaves too few"
            )
        if reasons and not drop:
            raise InputError(
                f"{next(iter(reasons.values()))}; "
                "leave it out, or drop it with drop_unusable=True (command: --drop-unusable)"
            )
        for reason in reasons.values():
            warn_user(f"{reason}; it is left out")
        return kept

    def _warn_of_errors(self):
        """Warn of values that are bad because of their uncertainty."""
        found = [
            f"{plane.n_without_error} in {name}"
            for plane, name in zip(self.planes, self.names, strict=True)
            if plane.n_without_error
        ]
        if found:
            warn_user(
                f"uncertainties that are negative, 0 or far below the read noise make bad values: {', '.join(found)}. "
                "Check how the uncertainties were computed"
            )
        below, above = (sum(plane.n_lost[i] for plane in self.planes) for i in (0, 1))
        if below > MANY_LOST * self.cube.size and above < FEW_ABOVE * below:
            warn_user(
                f"{100 * below / self.cube.size:.2g} % of the values are below 0 and have NaN as "
                "uncertainty. They are bad values, and combined values are too high without them. If create_deviation "
                "of ccdproc computed the uncertainties, give it disregard_nan=True"
            )

    def exposures(self, drop):
        """The exposures, after all are added; without blank ones if ``drop``."""
        self.names = short_names(self.names)
        kept = self._usable(drop)
        self._warn_of_errors()
        self._warn_of_masks(kept)
        header, wcs = self.headers[kept[0]]
        shape = self.first.shape
        seconds = [self.seconds[i] for i in kept]
        planes = [self.planes[i] for i in kept]
        exposures = Exposures(
            self.cube if len(kept) == self.n else _chosen(self.cube, kept),
            _stacked([plane.bad for plane in planes], shape),
            self.noise,
            tuple(plane.variance for plane in planes),
            header,
            wcs,
            tuple(self.names[i] for i in kept),
            exptimes=tuple(seconds),
            saturated=_stacked([plane.saturated for plane in planes], shape),
            notes=tuple(self.values.notes),
            own_headers=tuple(self.headers[i][0] for i in kept),
            own_wcs=tuple(self.headers[i][1] for i in kept),
            digests=tuple(self.digests[i] for i in kept),
        )
        return _rates(exposures, seconds) if self.first.per_second else exposures


def _warn_of_extensions(given):
    """Warn of extensions of the first file that are not used, and of several with the requested name."""
    if given.unused:
        names = " and ".join(name for _, name in given.unused)
        remedy = ", ".join(f"{argument}={name!r}" for argument, name in given.unused)
        one = len(given.unused) == 1
        verb, them = ("is", "it") if one else ("are", "them")
        options = " and ".join(f"--{argument.replace('_', '-')}" for argument, _ in given.unused)
        warn_user(
            f"{names} of {given.name} {verb} not used. To use {them}, give {remedy} (command: {options}). "
            "The same holds for the other files"
        )
    if given.twins:
        warn_user(
            f"ext={given.twins[0]!r} names {len(given.twins[1])} images of {given.name}, extensions "
            f"{', '.join(map(str, given.twins[1]))}; the first is used. Give the number of one, such as "
            f"ext={given.twins[1][1]} for ({given.twins[0]}, 2), or read all chips with crstack.read_mosaic "
            "(command: --ext all)"
        )


def digest_of(image):
    """Digest of some rows of an image, as it was read.

    Parameters
    ----------
    image : `~numpy.ndarray`
        (ny, nx), before the bias is subtracted or edges are cut off.

    Returns
    -------
    digest : str
        16 hexadecimal digits.
    """
    rows = np.nan_to_num(np.asarray(image[:: max(len(image) // ROWS_OF_DIGEST, 1)], dtype="<f4"))
    return hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest()


def _stacked(planes, shape):
    """Cube of bool of planes that may be None, or None if all are."""
    if all(plane is None for plane in planes):
        return None
    cube = zero_image((len(planes), *shape), bool)
    for one, plane in zip(cube, planes, strict=True):
        if plane is not None:
            one[...] = plane
        relax()
    return cube


def _chosen(cube, which):
    """Some planes of a cube (indices), as a new one."""
    chosen = empty_image((len(which), *cube.shape[1:]), cube.dtype)
    for one, i in zip(chosen, which, strict=True):
        one[...] = cube[i]
        relax()
    return chosen


def _rates(exposures, seconds):
    """Counts of exposures given as rates, scaled to the mean exposure time."""
    mean = float(np.mean(seconds))
    exposures = replace(exposures, rate_seconds=mean)
    if np.ptp(seconds) > 1e-6 * mean:
        exposures = exposures.divided_by([one / mean for one in seconds])
    return exposures


def _limit_of(values, given, noise, seconds, raw, section):
    """Level from which values are saturated; where full pixels scatter about a given level, below it."""
    limit = values.limit(given, noise, seconds, raw.shape, section)
    if limit is None or np.ndim(limit) or given.per_second:
        return limit
    numbers = (float(np.median(one)) for one in (noise.readnoise_in_unit, noise.electrons_per_unit))
    return limit_with_noise(given.data, float(limit), *numbers)
