"""Settings of the equalization: the terms that are given, measured, or switched off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np

from crstack.equalize.fit.differences import NAMES
from crstack.equalize.terms.flux import METHODS, check_flux_factors, margin_around_regions
from crstack.equalize.terms.given_terms import refuse_impossible
from crstack.equalize.terms.offsets import LARGEST_MEASURED, check_offsets, check_region_size
from crstack.equalize.terms.response import ResponseSettings
from crstack.equalize.terms.steps import steps_of
from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.utils.validation import check_choice, check_number, check_numbers, check_region
from crstack.utils.words import unit_words

__all__ = ["BY_DEFAULT", "Equalization", "known_steps", "open_settings"]

AUTO = "auto"
TARGETS = ("simulated", "original")
#: measured memory for each pixel of an image, besides the arrays in files
BYTES_OF_OFFSETS, BYTES_OF_SEEING = 80.0, 80.0
#: measured memory for each value of the exposures in the regions in which factors and offsets are measured
BYTES_IN_FLUX_REGIONS, BYTES_IN_CROSSCORR_REGION = 40.0, 80.0
#: limits of the width of a star, pixels
SEEING = "None, or a width in pixels for each exposure"
WIDTHS = {"minimum": 0.5, "maximum": 50}


class _ByDefault(str):
    """The word "auto" where the user did not write it."""


#: the default of each term: "auto", unless ``differences=None``
BY_DEFAULT: Any = _ByDefault(AUTO)


@dataclass(frozen=True)
class Equalization:
    """The differences of exposures that are not quite equivalent: given, to be measured, or switched off.

    Each term is measured by default, all of them together by `~crstack.equalize.measure_differences`. A given value is
    used, and the other terms are measured with it. None switches a term off.

    Parameters
    ----------
    flux_factors : "auto", float, sequence of float or None, optional
        Signal of each exposure over that of the common image. A single number is used for all exposures. With "auto",
        exposure times that differ give factors of their ratios, which divide the exposures; what differs beyond them
        is measured.
    flux_regions : sequence of (xmin, xmax, ymin, ymax), optional
        Measure the factors before all other terms, in these regions; FITS convention.
    flux_method : {None, "slope", "ratio"}, optional
        Measure the factors before all other terms, as for `estimate_flux_factors`. A slope has a free level, and
        does not take sky for throughput.
    apply_flux_factors_to : {None, "simulated", "original"}, optional
        Use given or measured factors only where exposures are compared ("simulated", the default), or divide the
        exposures by them, so that all combined images have one level. With "original", "auto" measures the factors
        before all other terms, by a slope.
    offsets : "auto", sequence of (dx, dy) or None, optional
        Shift (pixels) to apply to the common image so that it coincides with each exposure. Where other terms are
        measured, the whole pixels of given offsets are used, and the rest is measured with these terms. Given offsets
        are used as they are with ``differences=None`` or ``JointPosterior(measure=False)``, and beside a given seeing,
        or throughputs or a response that are measured before other terms.
    crosscorr_region : (xmin, xmax, ymin, ymax), optional
        Measure the offsets before other terms, by cross-correlation in this region; FITS convention.
    response : "auto", sequence of `~numpy.ndarray`, ResponseSettings or None, optional
        Local throughput: an image (ny, nx) or a number for each exposure, by which it is divided. With
        `ResponseSettings` it is measured on its own, and the exposures are divided by it.
    backgrounds : "auto", sequence of float, Quantity or `~numpy.ndarray`, or None, optional
        Level that is added to each exposure, such as its sky: a number or an image (ny, nx) for each, in the unit of
        the exposures, and at the level of the exposure itself: exposure i is f_i times the common image, plus b_i. With
        equal flux factors f_i, only differences from the mean of the exposures count. If the factors are not known,
        the levels that remain are measured with them.
    seeing : "auto", sequence of float or None, optional
        Full width at half maximum (pixels) of the stars in each exposure.
    differences : {"auto", None}, optional
        None switches off all terms that are not given. The words "auto" of ``flux_factors``, ``offsets`` and
        ``response`` then measure these terms one after the other, as the reference program does.

    Raises
    ------
    InputError
        If a value is wrong, or two settings contradict each other.
    """

    flux_factors: Any = BY_DEFAULT
    flux_regions: Sequence[Sequence[int]] = ()
    flux_method: str | None = None
    apply_flux_factors_to: str | None = None
    offsets: Any = BY_DEFAULT
    crosscorr_region: Sequence[int] | None = None
    response: Any = BY_DEFAULT
    backgrounds: Any = BY_DEFAULT
    seeing: Any = BY_DEFAULT
    differences: str | None = AUTO

    def __post_init__(self):
        if self.differences is not None:
            check_choice("differences", self.differences, (AUTO,), "None")
        self._coerce_factors()
        self._coerce_offsets()
        self._coerce_response()
        self._coerce_backgrounds()
        self._coerce_seeing()
        self._check_switch()

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def _coerce_factors(self):
        """Check the flux factors with their options, and make them tuples."""
        factors = self.flux_factors
        if isinstance(factors, str):
            check_choice("flux_factors", factors, (AUTO,), "None, one number, or a number for each exposure")
        elif factors is not None:
            if isinstance(factors, Sequence) or np.ndim(factors):
                factors = check_flux_factors(factors, len(factors))
            else:
                check_number("flux_factors", factors, minimum=0, exclusive=True)
            self._set("flux_factors", factors)
        regions = () if self.flux_regions is None else self.flux_regions
        is_many = isinstance(regions, Sequence | np.ndarray) and getattr(regions, "ndim", 1) > 0
        if not is_many or isinstance(regions, str | bytes):
            raise InputError(f"flux_regions must be a list of regions [xmin, xmax, ymin, ymax]; got {regions!r:.60}")
        regions = tuple(check_region(f"flux_regions {i}", one) for i, one in enumerate(regions, start=1))
        self._set("flux_regions", regions)
        if self.flux_method is not None:
            check_choice("flux_method", self.flux_method, METHODS)
        if self.apply_flux_factors_to is not None:
            check_choice("apply_flux_factors_to", self.apply_flux_factors_to, TARGETS)
        self._refuse_options_of_factors()

    def _refuse_options_of_factors(self):
        """Raise `InputError` for options of factors that are not measured."""
        if isinstance(self.flux_factors, str):
            if self.measures_factors:  # the options ask for a measurement
                self._set("flux_factors", AUTO)
            return
        for name in ("flux_regions", "flux_method"):
            if getattr(self, name):
                raise InputError(f'flux_factors must be "auto" where {name} is given; got {self.flux_factors!r}')
        if self.flux_factors is None and self.apply_flux_factors_to == "original":
            raise InputError('flux_factors must not be None for apply_flux_factors_to="original"; got None')

    def _coerce_offsets(self):
        """Check the offsets and their region, and make them tuples."""
        if self.crosscorr_region is not None:
            if not isinstance(self.offsets, str):
                raise InputError(
                    'offsets must be "auto" where crosscorr_region is given, because it measures them; '
                    f"got {self.offsets!r}"
                )
            self._set("crosscorr_region", check_region("crosscorr_region", self.crosscorr_region))
            self._set("offsets", AUTO)
        if isinstance(self.offsets, str):
            check_choice("offsets", self.offsets, (AUTO,), "None, or a pair (dx, dy) for each exposure")
        elif self.offsets is not None:
            self._set("offsets", check_offsets(self.offsets))

    def _coerce_response(self):
        """Check the local response, and make its images a tuple."""
        response = self.response
        if response is None or isinstance(response, ResponseSettings):
            return
        if isinstance(response, str):
            check_choice("response", response, (AUTO,), "None, or a number or image for each exposure")
            if self.differences is None and not isinstance(response, _ByDefault):
                self._set("response", ResponseSettings())
            return
        self._set("response", _images("response", response))
        if not all(np.min(one) > 0 for one in self.response):
            raise InputError("response must be positive everywhere; got values of 0 or less")

    def _coerce_backgrounds(self):
        """Check the added levels, and make them a tuple."""
        if isinstance(self.backgrounds, str):
            check_choice("backgrounds", self.backgrounds, (AUTO,), "None, or a number or image for each exposure")
        elif self.backgrounds is not None:
            self._set("backgrounds", _images("backgrounds", self.backgrounds))

    def _coerce_seeing(self):
        """Check the seeing, and make it a tuple of widths in pixels."""
        if isinstance(self.seeing, str):
            check_choice("seeing", self.seeing, (AUTO,), SEEING)
        elif self.seeing is not None:
            self._set("seeing", check_numbers("seeing", self.seeing, f'"auto", {SEEING}', u.pix, **WIDTHS))

    def _check_switch(self):
        """Switch off the terms that are measured by default, if ``differences`` is None."""
        if self.differences is not None:
            return
        for name in NAMES:
            value = getattr(self, name)
            if isinstance(value, _ByDefault):
                self._set(name, None)
            elif isinstance(value, str) and name in ("backgrounds", "seeing"):
                raise InputError(f'differences must be "auto" for {name}="auto", which it measures; got None')

    @property
    def measures_factors(self):
        """Whether the flux factors are measured before all other terms."""
        options = self.flux_regions or self.flux_method or self.apply_flux_factors_to == "original"
        alone = self.differences is None and not isinstance(self.flux_factors, _ByDefault)
        return isinstance(self.flux_factors, str) and bool(options or alone)

    @property
    def measures_offsets(self):
        """Whether the offsets are measured before other terms."""
        return isinstance(self.offsets, str) and (self.crosscorr_region is not None or self.differences is None)

    @property
    def starts_from_offsets(self):
        """Whether other terms are measured after given offsets, whose fractions of a pixel are measured with them."""
        alone = self.measures_factors or _is_given(self.seeing) or isinstance(self.response, ResponseSettings)
        return _is_given(self.offsets) and self.differences is not None and not alone

    @property
    def uses_times(self):
        """Whether exposure times that differ give flux factors."""
        return isinstance(self.flux_factors, str) and not self.measures_factors

    @property
    def _in_flux_regions(self):
        """Whether flux factors are measured in regions alone."""
        return bool(self.measures_factors and self.flux_regions)

    @property
    def _in_crosscorr_region(self):
        """Whether offsets are measured in a region alone."""
        return self.measures_offsets and self.crosscorr_region is not None

    @property
    def of_whole_images(self):
        """Names of the settings that need all images at once: terms that are measured one by one, not in regions."""
        needed = {
            "flux_factors": self.measures_factors and not self._in_flux_regions,
            "offsets": self.measures_offsets and not self._in_crosscorr_region,
            "response": isinstance(self.response, ResponseSettings),
        }
        return tuple(f"{name}, measured on its own," for name, is_needed in needed.items() if is_needed)

    @property
    def bytes_per_pixel(self):
        """Memory for each pixel of an image that given terms need, by the name of the setting.

        The others work by bands of rows.
        """
        needed = {"offsets": BYTES_OF_OFFSETS, "seeing": BYTES_OF_SEEING}
        found = {f"given {name}": one for name, one in needed.items() if _is_given(getattr(self, name))}
        # measured offsets move the common image as given ones do
        return found | ({"offsets": BYTES_OF_OFFSETS} if self._in_crosscorr_region else {})

    @property
    def bytes_in_regions(self):
        """Memory for each exposure of the terms that are measured in regions, by the name of the setting."""
        found = {}
        if self._in_flux_regions:
            found["flux_regions"] = self._bytes_in_flux_regions()
        if self._in_crosscorr_region:
            found["crosscorr_region"] = BYTES_IN_CROSSCORR_REGION * _number_of_pixels(self.crosscorr_region)
        return found

    def _bytes_in_flux_regions(self):
        """Memory for each exposure of the smallest box that holds all flux regions."""
        xmin, _, ymin, _ = np.min(self.flux_regions, axis=0)
        _, xmax, _, ymax = np.max(self.flux_regions, axis=0)
        margin = 0
        if self.measures_offsets or _is_given(self.offsets):
            # the exposures are shifted there and back, with the pixels around
            offsets = self.offsets if _is_given(self.offsets) else [(LARGEST_MEASURED, LARGEST_MEASURED)]
            margin = margin_around_regions(offsets)
        return BYTES_IN_FLUX_REGIONS * _number_of_pixels((xmin - margin, xmax + margin, ymin - margin, ymax + margin))

    def check_for(self, exposures: Exposures) -> None:
        """Raise `InputError` unless the settings fit the number and the shape of the exposures.

        Parameters
        ----------
        exposures : Exposures
            The exposures.
        """
        n = len(exposures)
        if _is_given(self.flux_factors):
            check_flux_factors(self.flux_factors, n)
        if _is_given(self.offsets):
            reach = max(exposures.shape)
            if max(abs(one) for pair in check_offsets(self.offsets, n) for one in pair) >= reach:
                raise InputError(f"offsets must be smaller than the image, {reach} pixels; got {list(self.offsets)}")
        if _is_given(self.seeing) and len(self.seeing) != n:
            raise InputError(f"seeing must be {n} widths, one for each exposure; got {len(self.seeing)}")
        for name in ("response", "backgrounds"):
            if isinstance(getattr(self, name), tuple):
                _check_images(name, getattr(self, name), exposures)
        for number, region in enumerate(self.flux_regions, start=1):
            check_region(f"flux_regions {number}", region, exposures.shape)
        if self.crosscorr_region is not None:
            check_region_size(self.crosscorr_region, exposures.shape)
        refuse_impossible(self, exposures)


def open_settings(settings):
    """Terms of an `Equalization` that `~crstack.equalize.measure_differences` may measure, as a set of names."""
    if settings.differences is None:
        return set()
    first = {"flux_factors": settings.measures_factors, "offsets": settings.measures_offsets}
    names = {name for name in NAMES if isinstance(getattr(settings, name), str) and not first.get(name)}
    if names and settings.starts_from_offsets:
        names.add("offsets")
    if "flux_factors" in names and _is_given(settings.backgrounds):
        # given levels include a common level, which is not known before the throughput
        names.add("backgrounds")
    return names


def known_steps(settings):
    """Whole pixels (dx, dy) of given offsets, the rest of which is measured; None for all other settings."""
    return steps_of(settings.offsets) if settings.starts_from_offsets and open_settings(settings) else None


def _number_of_pixels(region):
    xmin, xmax, ymin, ymax = map(int, region)
    return (xmax - xmin + 1) * (ymax - ymin + 1)


def _is_given(value):
    return value is not None and not isinstance(value, str)


def _images(name, values):
    """Numbers, Quantities or images (ny, nx), one for each exposure, as a tuple."""
    is_many = isinstance(values, Sequence | np.ndarray) and getattr(values, "ndim", 1) in (1, 3)
    if not is_many or isinstance(values, str | bytes) or not len(values):
        raise InputError(
            f'{name} must be "auto", None, or a number or image for each exposure; got {type(values).__name__}'
        )
    found = []
    for one in values:
        try:
            number = one if isinstance(one, u.Quantity) else np.asarray(one)
            number = number if isinstance(one, u.Quantity) or number.dtype.kind in "USObc" else number.astype(float)
        except (TypeError, ValueError):
            number = np.array("no number")
        if number.dtype.kind not in "fiu" or not np.all(np.isfinite(number)) or np.ndim(number) not in (0, 2):
            raise InputError(f"{name} must be finite numbers or images (ny, nx); got {one!r:.60}")
        found.append(number if isinstance(one, u.Quantity) else _small(number))
    return tuple(found)


def _small(number):
    return number.astype(np.float32) if number.ndim else float(number)


def _check_images(name, values, exposures):
    """Raise `InputError` unless there is a number or image of the right shape and unit for each exposure."""
    if len(values) != len(exposures):
        raise InputError(f"{name} must be {len(exposures)}, one for each exposure; got {len(values)}")
    for one in values:
        if np.ndim(one) and np.shape(one) != exposures.shape:
            raise InputError(f"{name} must be images of shape {exposures.shape}; got {np.shape(one)}")
        if isinstance(one, u.Quantity) and name == "response" and not one.unit.is_equivalent(u.one):
            raise InputError(f"{name} must have no unit; got {unit_words(one.unit)}")
        if isinstance(one, u.Quantity) and name == "backgrounds" and not one.unit.is_equivalent(exposures.given_unit):
            raise InputError(
                f"{name} must be in the unit of the exposures, {exposures.given_unit}; got {unit_words(one.unit)}"
            )
