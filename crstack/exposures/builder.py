"""The exposures, read one by one into a cube."""

import logging
from collections import Counter
from dataclasses import replace

import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.as_read import AsRead
from crstack.exposures.bad_values.common_bits import CommonBits
from crstack.exposures.bad_values.flagged_hits import Flags, warn_of_flagged_hits
from crstack.exposures.bad_values.saturation import find_plateau, limit_with_noise
from crstack.exposures.cube import Exposures
from crstack.exposures.digest import digest_of
from crstack.exposures.input.overscan import warn_of_bias_section, warn_of_overscan
from crstack.exposures.input.planes import plane_of
from crstack.exposures.input.reading import warn_of_cards
from crstack.exposures.usable import ReadExposure, check_saturation, usable, warn_of_errors, warn_of_masks
from crstack.files.names import short_names
from crstack.utils.memory import empty_image, relax, zero_image
from crstack.utils.validation import check_image_shape
from crstack.utils.warn import warn_user
from crstack.utils.words import counted

__all__ = ["Builder"]

log = logging.getLogger("crstack.exposures")

#: smallest image, in pixels along either axis
MINIMUM_LENGTH = 5


class Builder:
    """Adds the exposures to the cube, one by one.

    Parameters
    ----------
    values : Instrument
        Properties of the detector.
    n : int
        Number of exposures.
    """

    def __init__(self, values, n):
        self.values, self.n = values, n
        self.cube = self.first = self.noise = None
        self.read: list[ReadExposure] = []
        self.plateaus = []
        self.flags, self.bits = Flags(), CommonBits()
        # what extensions of files hold, and how many files have it
        self.extensions: Counter = Counter()
        # pixels that have the same value in all exposures so far
        self.same = None

    def add(self, raw, number):
        """Add one exposure, as it was read.

        Parameters
        ----------
        raw : `~crstack.exposures.input.reading.GivenExposure`
            The exposure.
        number : int
            Its number, from 1.
        """
        values = self.values.of_exposure(number, self.n)
        section = values.trimming(raw)
        if self.first is None:
            self._check_dark_parts(raw, section)
        given = raw if section is None else raw.trimmed(section)
        if self.first is None:
            self._begin(given)
        self._check_like_first(given)
        noise = self._noise_of(given, raw.shape, section)
        seconds = self.values.seconds(given, number, self.n)
        if given.per_second and seconds is None:
            raise InputError(
                f"exptime must be given for exposures in {given.unit}, such as exptime=300 * u.s; got none above 0 in "
                f"the header of {given.name}"
            )
        self._find_plateau(given, noise, seconds, number)
        bias = values.offset(raw, noise, seconds, raw.shape, section)
        factor = seconds if given.per_second else 1.0
        plane = plane_of(
            given,
            bias,
            seconds=factor,
            saturation=_limit_of(values, given, noise, seconds, raw, section),
            readnoise=noise.readnoise_in_unit,
            out=self.cube[number - 1],
        )
        self.flags.add(given.mask if given.quality is None else given.quality, given.data, bias, factor)
        self.bits.add(given.mask_bits if given.quality is None else given.quality)
        if number > 1:
            equal = np.equal(given.data, self.first.data)
            self.same = equal if self.same is None else np.logical_and(self.same, equal, out=self.same)
        self.read.append(
            ReadExposure(
                given.name,
                replace(plane, data=None),
                values.header_of_result(given, bias),
                given.wcs,
                seconds,
                digest_of(raw.data),
                0.0 if given.mask is None else float(np.mean(given.mask)),
            )
        )
        self.extensions.update(given.extensions.items())

    def _check_dark_parts(self, raw, section):
        """Warn of an overscan that is kept, or of a bias that is measured in what is kept."""
        if section is None and warn_of_overscan(raw.header, raw.data, raw.name):
            return
        bias = self.values.section("bias", raw)
        if bias is not None:
            warn_of_bias_section(bias, section)

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

    def _noise_of(self, given, shape, section):
        """Noise model of an exposure; that of the first one is the noise of the cube."""
        noise = self.values.noise(given, shape, section)
        if self.noise is None:
            self.noise = noise
            for name, value in (("gain", noise.gain), ("readnoise", noise.readnoise)):
                if value is not None and np.ndim(value):
                    check_image_shape(name, np.shape(value), given.shape)
        return noise

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

    def as_read(self):
        """What is known of the exposures as they were read, after all are added.

        Returns
        -------
        read : AsRead
            Values of the first exposure, and where all exposures have the same.
        """
        return AsRead(self.first.data, self.same, self.first.unit, self.plateaus)

    def exposures(self, drop):
        """The exposures, after all are added.

        Parameters
        ----------
        drop : bool
            Whether to leave out those that are blank or without valid pixels.

        Returns
        -------
        exposures : Exposures
            The exposures, in counts.

        Raises
        ------
        InputError
            If exposures cannot be used.
        """
        for (what, ext), number in self.extensions.items():
            log.info("%s are read from the extension %s of %s", what, ext, counted(number, "exposure"))
        names = short_names([one.name for one in self.read])
        read = [replace(one, name=name) for one, name in zip(self.read, names, strict=True)]
        check_saturation(read, self.values.saturation)
        indices = usable(self.cube, read, drop)
        warn_of_errors(read, self.cube.size)
        kept = [read[i] for i in indices]
        warn_of_masks(kept)
        planes = [one.plane.bad for one in read]
        ext, number = next(((ext, n) for (what, ext), n in self.extensions.items() if what == "bad values"), (None, 0))
        of_all = number == self.n
        self.bits.warn(ext)
        warn_of_flagged_hits(self.flags.hits(self.cube, planes), [one.name for one in read], ext, of_all)
        shape = self.first.shape
        seconds = [one.seconds for one in kept]
        exposures = Exposures(
            self.cube if len(kept) == self.n else _chosen(self.cube, indices),
            _stacked([one.plane.bad for one in kept], shape),
            self.noise,
            tuple(one.plane.variance for one in kept),
            kept[0].header,
            kept[0].wcs,
            tuple(one.name for one in kept),
            exptimes=tuple(seconds),
            saturated=_stacked([one.plane.saturated for one in kept], shape),
            notes=tuple(self.values.notes),
            own_headers=tuple(one.header for one in kept),
            own_wcs=tuple(one.wcs for one in kept),
            digests=tuple(one.digest for one in kept),
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
