"""Exposure times that differ: flux factors of their ratios."""

import itertools

import numpy as np

from crstack.exposures.comparison.structures import light_of, significances
from crstack.exposures.comparison.unlike_light import hidden_hits, usual_variances
from crstack.exposures.cube import Exposures
from crstack.exposures.input.keywords import USUAL_KEYWORDS
from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["differing_times", "factors_of_times", "warn_of_times", "warn_of_unknown_times"]

#: largest number of exposures without an exposure time that a warning names
MOST_NAMED = 3
#: relative difference of exposure times above which they count as different
TIMES = 0.01
#: ratio of the noise of a mean with equal weights to the least noise, from which it is reported
NOISIER = 1.2
#: ratio of exposure times beyond which the joint decision has not been tested
UNLIKE = 25.0
#: the light of exposures counts as equal within this fraction, and their times as clearly different from this ratio on
EQUAL_LIGHT, CLEARLY = 0.2, 1.5
#: bright pixels of a trace or a few stars exceed the level by this many standard deviations, and are at least so many
BRIGHT, FEWEST_PIXELS = 20.0, 100
#: a level below this many read noises is not compared: the error of the bias may be as large
LEVEL = 2.0
#: ratio of exposure times beyond which the error of the level of the shortest exposure exceeds the noise of the others
BIASED = 50.0


def differing_times(exposures: Exposures) -> tuple[float, ...]:
    """Exposure times in seconds if they differ by more than 1 %; empty if they are equal, or if one is not known.

    Rates have been multiplied by the mean exposure time: their times count as equal.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    """
    return _unlike(exposures) if exposures.rate_seconds is None else ()


def _unlike(exposures):
    """Exposure times, of rates too, if they differ by more than 1 % and are known; otherwise empty."""
    times = [time for time in exposures.exptimes if time is not None]
    if len(times) < len(exposures) or np.ptp(times) <= TIMES * np.mean(times):
        return ()
    return tuple(map(float, times))


def factors_of_times(exposures: Exposures) -> tuple[float, ...] | None:
    """Exposure times over their mean if they differ; None if they do not.

    An exposure divided by its factor has the level of the mean exposure time, which products state as EXPTIME.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    """
    times = differing_times(exposures)
    return tuple((np.array(times) / np.mean(times)).tolist()) if times else None


def warn_of_times(exposures: Exposures, *, used: bool, given: bool) -> bool:
    """Warn of exposure times that differ, and state what is done about it.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    used : bool
        Whether the exposures are divided by the ratios.
    given : bool
        Whether the user gave the flux factors, or they are measured before all other terms: there is no warning then.

    Returns
    -------
    contradicted : bool
        Whether the light of the exposures contradicts the times that are used.

    Warns
    -----
    CRStackWarning
        If exposure times differ by more than 1 %. Rates have one level: there is a warning only if a mean with equal
        weights has much more noise than one with weights by exposure times, or if the times are too unlike.
    """
    if exposures.rate_seconds is not None:
        _warn_of_times_of_rates(exposures)
        return False
    times = differing_times(exposures)
    if not times or given:
        return False
    words = f"exposure times differ: {', '.join(f'{time:g}' for time in times)} s; "
    if used:
        factors = ", ".join(f"{factor:.4g}" for factor in factors_of_times(exposures) or ())
        on_light = _words_on_light(exposures, times)
        warn_user(
            f"{words}each exposure is divided by the ratio of its time to the mean: {factors}. Other flux factors can "
            "be given (flux_factors= in Python, flux_factor: in a parameter file)"
            + (on_light or _words_on_weights(exposures, times))
            + _words_on_unlike_times(times)
        )
        return bool(on_light)
    warn_user(
        f"{words}the exposures are not divided by them. Give flux factors of the same ratios (flux_factors= in Python, "
        "flux_factor: or differences: auto in a parameter file)" + _words_on_unlike_times(times)
    )
    return False


def warn_of_unknown_times(exposures: Exposures) -> None:
    """Warn if the headers of some exposures lack a valid exposure time, and those of others have one.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.

    Warns
    -----
    CRStackWarning
        With what the headers have. Exposure times are then not used for any of the exposures.
    """
    unknown = [i for i, time in enumerate(exposures.exptimes) if time is None]
    if not unknown or len(unknown) == len(exposures):
        return
    found = []
    for i in unknown[:MOST_NAMED]:
        header = exposures.own_headers[i]
        name = next((one for one in USUAL_KEYWORDS["exptime"] if one in header), None)
        found.append(f"{exposures.names[i]} has {'none' if name is None else f'{name} = {header[name]!r}'}")
    more = f", and {len(unknown) - MOST_NAMED} more have none above 0" if len(unknown) > MOST_NAMED else ""
    warn_user(
        f"the headers of {len(exposures) - len(unknown)} of {len(exposures)} exposures have an exposure time, and "
        f"{', '.join(found)}{more}: exposure times are not used. Write seconds into EXPTIME of these headers, or, in "
        "Python, give exptime="
    )


def _warn_of_times_of_rates(exposures):
    """Warn of exposure times of rates that differ so much that the mean is noisy, or that hits are hidden."""
    times = _unlike(exposures)
    found = _words_on_weights(exposures, times) + _words_on_unlike_times(times) if times else ""
    if found:
        seconds = ", ".join(f"{time:g}" for time in times)
        warn_user(f"exposure times differ: {seconds} s; the exposures are rates, which have one level{found}")


def _words_on_light(exposures, times):
    """Words on light that contradicts the times: it is equal, or those of two are exchanged; or no words."""
    if max(times) < CLEARLY * min(times):
        return ""
    planes = significances(exposures.data, exposures.bad)
    for i in (int(np.argmax(times)), int(np.argmin(times))):
        expected = _expected_light(times, i)
        light = _light_of(exposures, i, planes)
        if light is not None and abs(light - 1) < EQUAL_LIGHT and not 1 / CLEARLY < expected < CLEARLY:
            return (
                f". But {exposures.names[i]} has {light:#.2g} times the light of the others, where the times give "
                f"{expected:.3g}: combined images are wrong. Is EXPTIME wrong? Give exptime=. Are the exposures "
                "divided by their times already? Give them a unit per second (BUNIT)"
            )
    return _words_on_exchanged(exposures, times, planes)


def _words_on_exchanged(exposures, times, planes):
    """Words on two exposures whose light is that of the time of the other one; or no words.

    Clouds hardly ever dim an exposure by just the ratio of two times. ``planes`` are the significances.
    """
    lights = {i: _light_of(exposures, i, planes) for i in range(len(times))}
    lights = {i: light for i, light in lights.items() if light is not None}
    unlike = [i for i, light in lights.items() if not 1 / CLEARLY < light / _expected_light(times, i) < CLEARLY]
    for i, j in itertools.combinations(range(len(times)), 2):
        if not {i, j} & set(unlike) or 1 / CLEARLY < times[i] / times[j] < CLEARLY:
            continue
        other = list(times)
        other[i], other[j] = times[j], times[i]
        if all(abs(light / _expected_light(other, k) - 1) < EQUAL_LIGHT for k, light in lights.items()):
            k = i if i in unlike else j
            return (
                f". But {exposures.names[k]} has {plain(lights[k], 2)} times the light of the others, where the times "
                f"give {_expected_light(times, k):.3g}: combined images are wrong. Are the times of "
                f"{exposures.names[i]} and {exposures.names[j]} exchanged? Give exptime=, in the order of the exposures"
            )
    return ""


def _expected_light(times, i):
    """Light of exposure ``i`` over that of the others, as their times give it."""
    others = np.sort(np.delete(times, i))
    return float(times[i] / others[(len(others) - 1) // 2])


def _light_of(exposures, i, planes):
    """Light of an exposure over that of the others; None if it is not known."""
    light = light_of(exposures.data, i, exposures.bad, planes)
    return _light_of_pixels(exposures, i) if light is None else light


def _light_of_pixels(exposures, i):
    """Light of an exposure relative to the others, in the pixels of a trace or of a few stars; or None.

    Both the level and the light above it must have one ratio: other light, such as that of hot pixels, may not depend
    on the time, and the level may hold a part of the bias.
    """
    good = np.ones(exposures.shape, dtype=bool) if exposures.bad is None else ~exposures.bad.any(axis=0)
    values = exposures.data[:, good]
    if values.shape[1] < FEWEST_PIXELS:
        return None
    levels = median_of_values(values, axis=1)
    scatters = SIGMA_PER_MAD * median_of_values(np.abs(values - levels[:, None]), axis=1)
    above = values - levels[:, None]
    others = np.delete(above, i, axis=0)
    # the lowest of two, and the median of more, has no hit of a single exposure
    common = others.min(axis=0) if len(others) < 3 else median_of_values(others, axis=0)
    bright = common > BRIGHT * np.delete(scatters, i).max()
    faint = levels.min() < LEVEL * np.median(exposures.noise.readnoise_in_unit)
    if faint or np.count_nonzero(bright) < FEWEST_PIXELS:
        return None
    light = float(median_of_values(above[i, bright] / common[bright]))
    level = levels[i] / np.median(np.delete(levels, i))
    return light if abs(level / light - 1) < EQUAL_LIGHT else None


def _words_on_weights(exposures, times):
    """Words on a mean with equal weights if other weights give much less noise; otherwise no words.

    The exposures are compared on one level: each is divided by its factor, unless it is a rate. A mean with equal
    weights adds the variances of the values. One with weights by exposure times multiplies each by the square of the
    factor.
    """
    factors = np.array(times) / np.mean(times)
    left = factors if exposures.rate_seconds is None else np.ones(len(times))
    variances = usual_variances(exposures) / left**2
    noise = float(np.sqrt(np.sum(variances) / np.sum(factors**2 * variances)))
    if noise < NOISIER:
        return ""
    hidden = hidden_hits(exposures, left, times)
    return (
        f". Means have equal weights, and are {noise:.1f} times as noisy as with weights by exposure times: "
        f'combine(weights="exptime") in Python. Hits of {exposures.names[hidden.long]} below {hidden.sigmas:.0f} of '
        "its standard deviations are not found then: the noise of the other exposures hides them"
    )


def _words_on_unlike_times(times):
    """A sentence about times that are too unlike, or no words."""
    ratio = max(times) / min(times)
    if ratio < UNLIKE:
        return ""
    factor = np.mean(times) / min(times)
    biased = (
        f". An error of the level of the shortest exposure is multiplied by {factor:.3g}, and is not in the variance: "
        "where the longest is hit, combined values may be wrong by more than their standard deviation"
    )
    return (
        f". Times that differ by a factor of {ratio:.1f} are too unlike for the joint decision, which may flag clean "
        f"values. It was tested with factors of up to {UNLIKE:g}: leave out the shortest exposures"
        + (biased if ratio > BIASED else "")
    )
