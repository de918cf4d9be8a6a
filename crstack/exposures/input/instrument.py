"""Gain, read noise, bias, saturation and exposure time, as given or from the headers."""

import logging
import shlex
from dataclasses import dataclass, field, replace

import astropy.units as u
import numpy as np
from astropy.nddata import NDData

from crstack.exceptions import InputError
from crstack.exposures.input.keywords import (
    USUAL_KEYWORDS,
    Keyword,
    as_keyword,
    is_count,
    quantity_of,
    section_of,
    section_within,
)
from crstack.files.history import add_history
from crstack.noise import NoiseModel
from crstack.utils.adu import named_adu
from crstack.utils.validation import check_number, check_quantity

__all__ = ["Instrument"]

log = logging.getLogger("crstack.exposures")

GAIN_UNIT = u.electron / u.adu

#: what else to do with exposures whose headers have unlike gains or read noises
OTHERWISE = {
    "gain": "subtract the bias of each, multiply it by its gain, and give it in electrons, with an uncertainty",
    "readnoise": "give one number for all, such as the largest",
}
#: why the numbers of the detector are needed, where each value has an uncertainty
WHY = (
    "the uncertainty replaces the noise of values as they are, but simulated exposures and thresholds of hits need the "
    "noise of values without hits, from gain and read noise"
)
#: relative difference up to which gains and read noises of headers count as equal
SAME = 1e-3


@dataclass(eq=False)
class Instrument:
    """Properties of the detector, from the user or from the headers.

    Parameters
    ----------
    gain, readnoise, bias, saturation, exptime, trim
        As of `load_exposures`.

    Attributes
    ----------
    notes : list of str
        Values read from headers.
    """

    gain: object = None
    readnoise: object = None
    bias: object = None
    saturation: object = None
    exptime: object = None
    trim: object = None
    notes: list = field(default_factory=list)
    _read: dict = field(default_factory=dict)

    def __post_init__(self):
        for name in ("gain", "readnoise", "bias", "saturation", "exptime", "trim"):
            value = _without_ccddata(name, getattr(self, name))
            setattr(self, name, value)
            keyword = as_keyword(value)
            if keyword is not None:
                setattr(self, name, keyword)
            elif isinstance(value, str) and name not in ("bias", "trim"):
                raise InputError(_no_quantity(name, value))
            elif isinstance(value, list | tuple) and name in ("gain", "readnoise"):
                raise InputError(
                    f"{name} must be one Quantity for all exposures, a number or an image; got {len(value)}: convert "
                    "exposures of several detectors to electrons, and give each an uncertainty"
                )

    def of_exposure(self, number, n):
        """The properties for exposure ``number`` (from 1) of ``n``: from lists of bias or saturation, its own value.

        Raises
        ------
        InputError
            If the length of a list is not the number of exposures.
        """
        own = {}
        for name in ("bias", "saturation"):
            value = getattr(self, name)
            several = isinstance(value, list | tuple) or (isinstance(value, u.Quantity) and value.ndim in (1, 3))
            if several:
                if len(value) != n:
                    raise InputError(f"{name} must be one value, or {n} for as many exposures; got {len(value)}")
                own[name] = value[number - 1]
        return replace(self, **own) if own else self

    def _note(self, words):
        """Keep and log a line on a value that was read from a header; each line once."""
        if words not in self.notes:
            self.notes.append(words)
            log.info("%s", words)

    def section(self, what, given):
        """Section of one exposure that ``what`` ("bias" or "trim") names, or None."""
        value = getattr(self, what)
        if not isinstance(value, str | Keyword):
            return None
        if what == "bias" and isinstance(value, Keyword):
            # it may also hold a number
            return section_of(given.header, value, what, given.shape, given.name)
        return section_within(given.header, value, what, given.shape, given.name)

    def trimming(self, given):
        """Section to which an exposure is trimmed, or None."""
        if self.trim is None:
            return None
        section = self.section("trim", given)
        if section is None:
            raise InputError(f"trim must be a section or a keyword such as 'header:TRIMSEC'; got {self.trim!r}")
        rows, columns = section
        self._note(f"trimmed to columns {columns.start + 1} to {columns.stop}, rows {rows.start + 1} to {rows.stop}")
        return section

    def noise(self, given, raw_shape, section):
        """Noise of an exposure; gain and read noise of headers must agree with those of the first one.

        Parameters
        ----------
        given : GivenExposure
            Trimmed.
        raw_shape : tuple of int
            Its shape before trimming.
        section : (slice, slice) or None
            The section that was kept.
        """
        values = {}
        for name, unit in (("gain", GAIN_UNIT), ("readnoise", u.electron)):
            value = getattr(self, name)
            if isinstance(value, Keyword):
                keyword = value.name
                value, words = quantity_of(given.header, value, name, unit, given.name)
                if value.value < 0:
                    raise InputError(f"{name} must be greater than 0 in {keyword} of {given.name}; got {value:g}")
                first = self._read.setdefault(name, value)
                if not np.isclose(first.to_value(value.unit), value.value, rtol=SAME):
                    raise InputError(
                        f"exposures must share one {name}; got {first:g} for the first and {value:g} for {given.name}. "
                        "Combine exposures of one readout mode (crstack batch --group-by "
                        f"{shlex.quote(keyword)} sorts them), or {OTHERWISE[name]}"
                    )
                value = first
                if not any(note.startswith(f"{name} ") for note in self.notes):
                    self._note(words)
            values[name] = _cropped(value, raw_shape, section)
        _check_given(values, given)
        if given.count_unit == u.electron:
            self._check_gain(values["gain"], given)
        noise = NoiseModel(values["gain"], values["readnoise"], given.count_unit)
        least = float(np.min(noise.readnoise_electrons))
        if least == 0:
            raise InputError(
                "readnoise must be a number greater than 0; got 0 electron. For a detector that counts photons, give a "
                "small number, such as 0.1 * u.electron"
            )
        return noise

    def _check_gain(self, gain, given):
        """Raise `InputError` if electrons have a gain, unless it converts another number from ADU."""
        in_adu = any(
            getattr(getattr(self, name), "unit", None) in (u.adu, u.adu / u.s)
            for name in ("readnoise", "bias", "saturation")
        )
        if isinstance(gain, u.Quantity) and not in_adu and np.any(gain.value != 1):
            low, high = np.min(gain), np.max(gain)
            found = f"{gain:g}" if gain.isscalar else f"an image of {low.value:g} to {high:g}"
            raise InputError(
                f"gain must be left out for exposures in {given.unit}, as {given.name} is, or be 1; got {found}: if "
                "the values are in adu, give unit=u.adu for files, or write BUNIT = 'adu' into the headers; for a "
                "CCDData, change its unit"
            )

    def seconds(self, given, number, n):
        """Exposure time of an exposure in seconds, or None if it is not known."""
        value = self.exptime
        if value is None:
            return _time_in_header(given.header)
        if isinstance(value, Keyword):
            value, words = quantity_of(given.header, value, "exptime", u.s, given.name)
            self._note(words)
        if isinstance(value, list | tuple) or np.ndim(value):
            if getattr(value, "ndim", 1) != 1 or len(value) != n:
                found = f"{value.ndim} dimensions" if getattr(value, "ndim", 1) != 1 else len(value)
                raise InputError(f"exptime must be one value, or {n} for as many exposures; got {found}")
            value = value[number - 1]
        return check_quantity("exptime", value, u.s, minimum=0, exclusive=True)

    def offset(self, given, noise, seconds, raw_shape, section):
        """Bias of an exposure in counts: a number or an image. ``given`` is not trimmed."""
        value = self.bias
        if value is None:
            return 0.0
        where = self.section("bias", given)
        if where is not None:
            values = np.asarray(given.data[where], dtype=np.float64)
            values = values[np.isfinite(values)]
            if not values.size:
                raise InputError(f"bias must be measured in a section with values; got none in {given.name}")
            level = float(np.median(values)) * (seconds if given.per_second else 1.0)
            self._note(f"bias of {given.name} is {level:.6g} {noise.unit}, the median of its section")
            return level
        if isinstance(value, Keyword):
            value, words = quantity_of(given.header, value, "bias", given.unit, given.name)
            self._note(words)
        return _in_counts("bias", _cropped(value, raw_shape, section), noise, given, seconds, section)

    def header_of_result(self, given, bias):
        """Header of an exposure that is trimmed and has no ``bias``: its keywords do not ask for either again.

        Parameters
        ----------
        given : GivenExposure
            Trimmed.
        bias : float or `~numpy.ndarray`
            What is subtracted, in counts.
        """
        header = given.header
        used = {value.name for value in (self.bias, self.trim) if isinstance(value, Keyword)} & set(header)
        same = {
            name for name in USUAL_KEYWORDS["bias"] if is_count(header.get(name)) and _is_subtracted(header[name], bias)
        }
        if not used | same:
            return header
        header, lines = header.copy(), []
        for name in sorted(used | same):
            if is_count(header[name]):
                header[name] = (0.0, "bias is subtracted")
                lines.append(f"crstack: bias subtracted; {name} was {given.header[name]:g} and is 0 now")
            else:
                del header[name]
                lines.append(f"crstack: {name} = {given.header[name]} was used and is removed")
        add_history(header, lines)
        return header

    def limit(self, given, noise, seconds, raw_shape, section):
        """Counts from which the values of an exposure are saturated, or None."""
        value = self.saturation
        if value is None:
            return None
        if isinstance(value, Keyword):
            value, words = quantity_of(given.header, value, "saturation", given.unit, given.name)
            self._note(words)
        limit = _in_counts("saturation", _cropped(value, raw_shape, section), noise, given, seconds, section)
        if np.min(limit) <= 0:
            raise InputError(f"saturation must be greater than 0; got {np.min(limit):g} {noise.unit}")
        return limit


def _without_ccddata(name, value):
    """A Quantity in place of a CCDData, also in a list, in ADU if it is in count or DN; other values as they are."""
    if isinstance(value, list | tuple):
        return [_without_ccddata(name, one) for one in value]
    if not isinstance(value, NDData) or value.unit is None:
        return named_adu(value)
    n_masked = 0 if value.mask is None else np.count_nonzero(value.mask)
    if n_masked:
        raise InputError(
            f"{name} must not be masked; got {n_masked} masked values: fill them, and mask these pixels in the "
            "exposures"
        )
    return named_adu(u.Quantity(value.data, value.unit))


def _check_given(values, given):
    """Raise `InputError` if an exposure with an uncertainty has no read noise or gain, with the reason for it."""
    examples = {"readnoise": "5 * u.electron", "gain": "2.5 * u.electron / u.adu"}
    if given.count_unit == u.electron:
        del examples["gain"]
    missing = [name for name in examples if values[name] is None]
    if given.uncertainty is not None and missing:
        name = missing[0]
        raise InputError(
            f"{name} must be given, such as {examples[name]}, although {given.name} has an uncertainty; got None: {WHY}"
        )


def _is_subtracted(value, bias):
    """Whether the number of a keyword is the bias that is subtracted."""
    return value != 0 and np.ndim(bias) == 0 and bool(np.isclose(value, bias, rtol=SAME))


def _no_quantity(name, value):
    """The error for a text in place of a Quantity, with what to give instead."""
    unit = {"gain": "u.electron / u.adu", "readnoise": "u.electron", "exptime": "u.s"}.get(name, "u.adu")
    try:
        example = f"{float(value):g}"
    except ValueError:
        example = {"gain": "1.2", "readnoise": "4", "exptime": "300"}.get(name, "65535")
    return (
        f"{name} must be a Quantity such as {example} * {unit}, or a keyword such as 'header:{name.upper()}'; "
        f"got the text {value!r}"
    )


def _cropped(value, raw_shape, section):
    """An image of the shape of the untrimmed exposures, trimmed like them."""
    if section is not None and np.ndim(value) and np.shape(value) == raw_shape:
        return value[section]
    return value


def _in_counts(name, value, noise, given, seconds, section):
    """A Quantity in ADU, electrons or either per second, in counts of the exposures."""
    if isinstance(value, u.Quantity):
        if any(value.unit.is_equivalent(unit / u.s) for unit in (u.adu, u.electron)):
            if seconds is None:
                raise InputError(f"exptime must be given with a {name} in {value.unit}; got none for {given.name}")
            value = value * (seconds * u.s)
        if noise.gain is not None and value.unit != noise.unit:
            if value.unit == u.electron:
                value = value / noise.gain
            elif value.unit == u.adu:
                value = value * noise.gain
    shape = given.shape
    if section is not None:
        shape = tuple(one.stop - one.start for one in section)
    return check_quantity(name, value, noise.unit, shape=shape)


def _time_in_header(header):
    """Exposure time in seconds by the usual keywords, or None."""
    for name in USUAL_KEYWORDS["exptime"]:
        if name not in header:
            continue
        try:
            value, _ = quantity_of(header, Keyword(name), "exptime", u.s, "")
            return check_number("exptime", float(value.to_value(u.s)), minimum=0, exclusive=True)
        except InputError:
            continue
    return None
