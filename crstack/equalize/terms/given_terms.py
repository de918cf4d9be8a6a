"""Given and missing terms compared with the exposures: refusals of the impossible, warnings of the implausible."""

import numpy as np
from scipy import ndimage

from crstack.exceptions import InputError
from crstack.exposures.comparison.displacement import correlations
from crstack.exposures.comparison.structures import lowest_of_blocks
from crstack.utils.medians import median_of_values, reflected_median
from crstack.utils.pixels import middle_of
from crstack.utils.threads import map_threads
from crstack.utils.warn import warn_user

__all__ = ["refuse_impossible", "rough_levels", "warn_of_terms"]

#: pixels that are compared
PIXELS = 100_000
#: fewest pixels, and fewest stars, that are compared
FEWEST, FEWEST_STARS = 500, 5
#: least difference of level that gives a warning, in standard deviations of one value: where levels are neither given
#: nor measured, and where they are given
DIFFERS, GIVEN = 1.0, 3.0
#: where the throughput is measured, this share of the level may come from it: with bright pixels, and without them
KNOWN_THROUGHPUT, UNKNOWN_THROUGHPUT = 0.15, 0.5
#: throughputs are compared at the first of these quantiles of the light that has enough contrast; side (pixels) of the
#: part of the image that is used; and least contrast, in standard deviations of one value
BRIGHT, MIDDLE, CLEAR = (0.98, 0.99, 0.995), 1024, 4.0
#: ratio of throughputs that gives a warning: neither given nor measured; given; and if only a response is given
UNEQUAL, WRONG, WRONG_RESPONSE = 1.2, 1.5, 2.0
#: given over measured widths of stars: largest factor by which exposures may differ, and largest factor of the median
WIDTHS, ALL_WIDTHS = 1.5, 1.8
#: reach (pixels) of a star that is compared, and signal over noise of its peak
REACH, PEAK = 7, 30.0
#: most stars of an exposure whose widths are measured
MOST_STARS = 200
#: offsets are doubted if the correlation after them is below this share of the highest one
ALIGNED = 0.9
#: what to write in a parameter file, so that a term is measured
IN_FILE = {"flux_factors": "flux_factor: auto", "offsets": "mm_crosscorr_region:"}
#: least difference of levels (standard deviations of one value) that is removed before exposures are aligned
COUNTS = 0.5


def refuse_impossible(settings, exposures):
    """Raise `InputError` for given terms that no exposures of these values can have.

    Parameters
    ----------
    settings : Equalization
        The settings.
    exposures : Exposures
        The exposures.
    """
    if isinstance(settings.backgrounds, tuple):
        lowest, highest = float(np.min(exposures.data)), float(np.max(exposures.data))
        scale = exposures.rate_seconds or 1.0
        levels = [float(np.mean(getattr(one, "value", one))) for one in _in_unit(settings.backgrounds, exposures)]
        if np.ptp(levels) * scale > highest - lowest:
            shown = ", ".join(f"{one:g}" for one in levels)
            raise InputError(
                f"backgrounds must differ by less than the values of the exposures, which are {lowest / scale:.4g} to "
                f"{highest / scale:.4g} {exposures.given_unit}; got {shown}. Check the numbers and their unit"
            )


def _in_unit(values, exposures):
    return [one.to(exposures.given_unit) if hasattr(one, "unit") else one for one in values]


def rough_levels(exposures, factors):
    """Added levels of exposures, roughly: medians of the differences from their mean.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    factors : sequence of float
        Their flux factors.

    Returns
    -------
    levels : list of float or None
        Levels minus their mean. None if they differ by less than half the standard deviation of one value.
    """
    sample = _Sample(exposures, None, factors)
    if sample.data.shape[1] < FEWEST:
        return None
    levels = sample.differences(np.ones(sample.data.shape[1], bool)) * np.asarray(factors)
    if np.ptp(levels) < COUNTS * sample.sigma:
        return None
    return (levels - levels.mean()).tolist()


def warn_of_terms(known, settings, measured, *, off=()):
    """Warn of given terms that disagree with the exposures, and of differences that are neither given nor measured.

    Parameters
    ----------
    known : EqualizedExposures
        The exposures with their known differences.
    settings : Equalization
        What was given.
    measured : collection of str
        Terms that are measured, see `open_settings`.
    off : sequence of str, optional
        Parameters of `~crstack.JointPosterior` that are False, so that nothing is measured.

    Warns
    -----
    CRStackWarning
        With numbers, for levels, throughputs, offsets and widths of stars.
    """
    factors = known.factors or (1.0,) * len(known.exposures)
    sample = _Sample(known.exposures, known.added, factors)
    if sample.data.shape[1] >= FEWEST:
        ratios = None
        given = _is_given(settings.response) or _is_given(settings.backgrounds)
        if given or not {"flux_factors", "backgrounds"} <= set(measured):
            ratios = _throughputs(known.exposures, known.added, factors, sample.sigma)
        _warn_of_levels(sample, ratios, settings, measured, known.exposures, off)
        _warn_of_throughputs(ratios, settings, measured, known, off)
    if _is_given(settings.offsets):
        _warn_of_offsets(known.exposures, settings, off)
    if _is_given(settings.seeing):
        _warn_of_seeing(known.exposures, settings, off)


def _is_given(value):
    return value is not None and not isinstance(value, str)


class _Sample:
    """Some pixels of the exposures, over their factors and without given levels.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    added : list of `~numpy.ndarray` or None
        What is added to each.
    factors : sequence of float
        Their flux factors.
    """

    def __init__(self, exposures, added, factors):
        ny, nx = exposures.shape
        step = max(round(np.sqrt(ny * nx / PIXELS)), 1)
        box = (np.s_[step // 2 :: step], np.s_[step // 2 :: step])
        data = np.array(exposures.data[:, *box], dtype=np.float32)
        middle = median_of_values(data, axis=0)
        variance = np.stack([exposures.noise_of(i).cutout(box).variance(middle) for i in range(len(data))])
        if added is not None:
            data -= np.stack([np.broadcast_to(one, (ny, nx))[box] for one in added])
        data /= np.asarray(factors, np.float32)[:, None, None]
        valid = np.ones(data.shape[1:], bool)
        if exposures.bad is not None:
            valid = ~exposures.bad[:, *box].any(axis=0)
        self.data = data[:, valid]
        self.sigma = float(np.sqrt(median_of_values(variance[:, valid]))) if valid.any() else 0.0
        self.common = median_of_values(self.data, axis=0)

    def differences(self, where):
        """Medians (N,) of the differences from the common image, at some pixels."""
        found = np.array([median_of_values(plane[where] - self.common[where]) for plane in self.data])
        return found - median_of_values(found)

    def faint(self):
        """bool (M,): the fainter half."""
        return self.common <= median_of_values(self.common)


def _throughputs(exposures, added, factors, sigma):
    """Throughputs (N,), from the light of the brightest places above the level; None if there is too little light.

    Each exposure has its own brightest places, so that shifts have little effect.
    """

    def contrast_of(i):
        rows, columns = middle_of(exposures.shape, MIDDLE)
        plane = exposures.data[i, rows, columns]
        if exposures.bad is not None:
            bad = exposures.bad[i, rows, columns]
            plane = np.where(bad, median_of_values(plane[~bad]) if not bad.all() else 0, plane)
        if added is not None and np.ndim(added[i]):
            plane = plane - added[i][rows, columns]
        # without hits and hot pixels
        light = reflected_median(lowest_of_blocks(plane))
        return (np.quantile(light, BRIGHT) - median_of_values(light)) / factors[i]

    contrast = np.transpose(map_threads(contrast_of, range(len(factors))))
    clear = [one / median_of_values(one) for one in contrast if (one * factors).min() > CLEAR * sigma]
    return clear[0] if clear else None


def _warn_of_levels(sample, ratios, settings, measured, exposures, off):
    """Warn if the levels of the sky still differ after what is given, and are not measured."""
    given = _is_given(settings.backgrounds)
    if "backgrounds" in measured and not given:
        return
    faint = sample.faint()
    levels = sample.differences(faint)
    limit, left = (GIVEN if given else DIFFERS) * sample.sigma, levels
    if "flux_factors" in measured:
        # a level that follows the throughput is measured as such
        level = float(median_of_values(sample.common[faint]))
        limit += (UNKNOWN_THROUGHPUT if ratios is None else KNOWN_THROUGHPUT) * abs(level)
        left = levels if ratios is None else levels - (ratios - 1) * level
    if min(np.ptp(left), np.ptp(levels)) <= limit:
        return
    seconds = exposures.rate_seconds or 1.0
    shown = ", ".join(f"{level / seconds:+.4g}" for level in levels)
    noise = f"{sample.sigma / seconds:.3g} {exposures.given_unit}"
    if given:
        warn_user(
            f"backgrounds as given do not fit the exposures: without them the levels still differ by {shown}, where "
            f"the noise of a value is {noise}. Check their order, sign and unit (each is that of its own "
            "exposure, and no flux factor multiplies it), or let them be measured: give "
            + _how(settings, "backgrounds", off)
        )
        return
    warn_user(
        f"the exposures differ in level by {shown}, where the noise of a value is {noise}; this is neither given nor "
        "measured, so hits are missed or clean values are flagged. To measure it, give "
        + _how(settings, "backgrounds", off)
    )


def _how(settings, name, off):
    """The settings with which a term is measured, as text."""
    value = getattr(settings, name)
    words = []
    if _is_given(value) or (value is None and settings.differences is not None):
        words.append(f'{name}="auto"' + (f" (parameter file: {IN_FILE[name]})" if name in IN_FILE else ""))
    # the other terms can be measured alone
    if settings.differences is None and (not _is_given(value) or name in ("backgrounds", "seeing")):
        words.append('differences="auto" (parameter file: differences: auto)')
    words += [f"{one}=True of JointPosterior" for one in off]
    return " and ".join(words)


def _warn_of_throughputs(ratios, settings, measured, known, off):
    """Warn if bright pixels still differ by factors that are neither given nor measured."""
    given = [name for name in ("flux_factors", "response") if _is_given(getattr(settings, name))]
    if ratios is None or ("flux_factors" in measured and not given):
        return
    # terms that are measured beside a given response are not known yet
    limit = WRONG_RESPONSE if "flux_factors" in measured else WRONG if given else UNEQUAL
    worst = float(ratios.max() / ratios.min())
    if worst <= limit or (not given and known.flux is not None and known.flux.is_measured):
        return
    shown = ", ".join(f"{one:.3g}" for one in ratios)
    if given:
        warn_user(
            f"{' and '.join(given)} as given do not fit the exposures: bright pixels still differ by factors of "
            f"{shown}. Check order and values, or let them be measured: give {_how(settings, given[0], off)}"
        )
    else:
        warn_user(
            f"bright pixels of the exposures differ by factors of {shown}, by throughput, seeing or pointing; this is "
            "neither given nor measured, so hits are missed or clean values are flagged. To measure it, give "
            + _how(settings, "flux_factors", off)
        )


def _warn_of_offsets(exposures, settings, off):
    """Warn if the images agree clearly better after other offsets than the given ones."""
    # the exposure of the middle offset
    offsets = np.asarray(settings.offsets, float)
    middle = int(np.argmin(np.hypot(*(offsets - median_of_values(offsets, axis=0)).T)))
    wrong = []
    for i in range(len(offsets)):
        if i == middle:
            continue
        given = offsets[i] - offsets[middle]
        found = correlations(exposures.data[i], exposures.data[middle], given)
        if found is not None and found.given < ALIGNED * found.highest:
            dx, dy = found.shift
            wrong.append(
                f"{exposures.names[i]} by ({given[0]:+g}, {given[1]:+g}) pixels where the images agree best after "
                f"({dx:+d}, {dy:+d})"
            )
    if wrong:
        warn_user(
            f"offsets as given do not fit the exposures: against {exposures.names[middle]} they shift "
            f"{'; '.join(wrong)}. An offset (dx, dy) is where the scene of the exposure lies, to the right and "
            f"upwards. Check order and sign, or let them be measured: give {_how(settings, 'offsets', off)}"
        )


def _warn_of_seeing(exposures, settings, off):
    """Warn if the widths of stars contradict the given seeing."""
    seeing = settings.seeing
    widths = [_width_of_stars(exposures, i) for i in range(len(exposures))]
    if any(one is None for one in widths):
        return
    ratios = np.asarray(seeing) / np.asarray(widths)
    if ratios.max() / ratios.min() <= WIDTHS and 1 / ALL_WIDTHS < median_of_values(ratios) < ALL_WIDTHS:
        return
    warn_user(
        f"seeing as given does not fit the exposures: {', '.join(f'{one:g}' for one in seeing)} pixels where stars "
        f"have widths (FWHM) of about {', '.join(f'{one:.1f}' for one in widths)}. Check order and unit, or let it be "
        f"measured: give {_how(settings, 'seeing', off)}"
    )


def _width_of_stars(exposures, i):
    """Median full width at half maximum of clear stars, pixels; None if there are too few."""
    plane = exposures.data[i]
    rows, columns = (slice(max((side - 1024) // 2, 0), (side + 1024) // 2) for side in plane.shape)
    # the lower value of two exposures is rarely hit
    others = np.delete(np.arange(len(exposures)), i)
    lowest = np.min(exposures.data[others][:, rows, columns], axis=0)
    plane = plane[rows, columns]
    smooth = ndimage.uniform_filter(np.minimum(plane, lowest), 3)
    level = float(median_of_values(smooth))
    sigma = float(
        np.sqrt(median_of_values(exposures.noise_of(i).cutout((rows, columns)).variance(np.full_like(plane, level))))
    )
    peaks = (smooth == ndimage.maximum_filter(smooth, 2 * REACH + 1)) & (smooth > level + PEAK * sigma)
    if exposures.bad is not None:
        peaks &= ~ndimage.maximum_filter(exposures.bad[:, rows, columns].any(axis=0), 2 * REACH + 1)
    places = np.argwhere(peaks)
    inside = (places >= REACH).all(axis=1) & (places < np.array(plane.shape) - REACH).all(axis=1)
    widths = []
    for row, column in places[inside][:MOST_STARS]:
        cut = plane[row - REACH : row + REACH + 1, column - REACH : column + REACH + 1]
        width = _width(cut)
        if width is not None:
            widths.append(width)
    return float(median_of_values(widths)) if len(widths) >= FEWEST_STARS else None


def _width(cut):
    """Full width at half maximum of a round star in the middle of a cut-out; None if it is not a star."""
    middle = len(cut) // 2
    rows, columns = np.indices(cut.shape) - middle
    distance = np.hypot(rows, columns)
    light = cut - median_of_values(cut[distance > middle - 1])
    peak = light[middle - 1 : middle + 2, middle - 1 : middle + 2].mean()
    along = [light[middle, middle + 3 :].mean(), light[middle, : middle - 2].mean()]
    along += [light[middle + 3 :, middle].mean(), light[: middle - 2, middle].mean()]
    if peak <= 0 or max(along) > 0.5 * peak:
        return None
    within = light[distance <= middle - 2]
    # a star of area A at half maximum has a width of sqrt(4 A / pi)
    return 2 * np.sqrt(np.count_nonzero(within > 0.5 * light[middle, middle]) / np.pi)
