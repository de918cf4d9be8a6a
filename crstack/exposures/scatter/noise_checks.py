"""Comparison of the scatter of the exposures with their noise: warnings of noise, bias and gain."""

import astropy.units as u
import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.sanity import level_of_darkest_blocks
from crstack.exposures.scatter.noise_of_one import CORRELATED, levels_of, of_another_level, warn_of_smoothed
from crstack.exposures.scatter.noise_sample import NoiseSample, cyclic_pairs
from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["compare_noise"]

#: ratios of measured to stated scatter above and below which a warning is given. Where photons dominate, a gain that is
#: wrong by a factor of 2 changes the scatter by the square root of 2
TOO_MUCH, TOO_LITTLE = 1.4, 0.87
#: ratio below which the values are no counts, and nothing can be found
NO_COUNTS = 1e-4
#: least share of the variance without photons for which a read noise is named
LEAST_REST = 0.05
#: level in units of the read noise, below 0, that gives a warning; the same for the darkest blocks of an exposure
BELOW_BIAS, DARKEST_BELOW_BIAS = 10, 1.0
#: exposures are scaled to one level if their levels differ by more than this fraction. Structures of the pixels were
#: part of the scatter if this reduces the variance of the differences below this ratio
UNLIKE_LEVELS, STRUCTURES = 0.03, 0.9
#: correlation of neighbours above which, and scatter over that left by smoothing above which, smoothing is the cause
WIDE_FILTER, OF_SMOOTHING = 0.55, 0.65
#: consequences of smoothing, and remedy
OF_SMOOTHED = (
    "One pixel then has less noise than is stated, hits are broad, and faint ones may be missed. Use the exposures as "
    "they were before, or give each an uncertainty"
)
#: what to check where the noise is stated wrongly
CHECK = "Check gain, read noise and unit"


def compare_noise(exposures, bias_given):
    """Warn if the exposures scatter by more or less than their noise allows.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    bias_given : bool
        Whether a bias other than 0 was subtracted.

    Returns
    -------
    missing : tuple of float
        Variance (electrons squared) that each exposure has beyond that of its level; empty if there is none.
    wrong : bool
        Whether there was a warning on the noise or the bias of all exposures.

    Raises
    ------
    InputError
        If the scatter is a tiny fraction of the noise, as that of fluxes in physical units.

    Warns
    -----
    CRStackWarning
        If the scatter of one exposure is that of another level, or of smoothed values. If the scatter of all exposures
        disagrees with the noise. If the darkest part of an exposure lies below 0 after a bias is subtracted.
    """
    sample = NoiseSample.of_exposures(exposures, exposures.bad)
    # structures that differ, as those of exposures that are shifted, are no noise
    flat = sample.of_flat()
    odd = of_another_level(exposures, flat)
    scaled = _without_structures(sample)
    if scaled is not None:
        sample, flat, odd = scaled, scaled.of_flat(), []
    for one in odd:
        warn_user(one.words(exposures))
    known = {one.exposure for one in odd} | warn_of_smoothed(exposures, sample, flat, {one.exposure for one in odd})
    wrong = _compare_all(exposures, sample, [i for i in range(len(exposures)) if i not in known], bias_given)
    missing = [0.0] * len(exposures)
    for one in odd:
        unit = median_of_values(exposures.noise_of(one.exposure).electrons_per_unit)
        missing[one.exposure] = max(one.found - one.stated, 0.0) * float(unit) ** 2
    return (tuple(missing) if any(missing) else ()), wrong


def _without_structures(sample):
    """The sample at one level, if pixels have structures in proportion to the light, such as their response; or None.

    Where levels differ, as those of twilight flats do, such structures remain in the differences of exposures.
    """
    ratios = sample.known_ratios()
    if not ratios or max(ratios) ** 2 * STRUCTURES < 1 or not sample.valid.any(axis=(1, 2)).all():
        return None
    levels = levels_of(sample)
    if min(levels) <= 0 or max(levels) < (1 + UNLIKE_LEVELS) * min(levels):
        return None
    scaled = sample.at_one_level(levels)
    return scaled if np.square(scaled.known_ratios()).sum() < STRUCTURES * np.square(ratios).sum() else None


def _compare_all(exposures, sample, which, bias_given):
    """Warn if the scatter of some exposures (indices) disagrees with their noise; return whether it does.

    Too much scatter must be in the flattest part of the sample as well: lines that are shifted by more than their width
    are no noise.
    """
    if bias_given and len(which) == len(exposures) and _warn_of_bias(exposures, sample.level):
        return True
    ratio = _middle_ratio(sample, which, 1.0)
    if ratio > TOO_MUCH:
        ratio = min(ratio, _middle_ratio(sample.of_flattest(), which, ratio))
    if TOO_LITTLE <= ratio <= TOO_MUCH:
        return False
    sigma, level = (
        float(np.median([median_of_values(plane[i][sample.valid[i]]) for i in which]))
        for plane in (sample.stated, sample.own)
    )
    sigma = np.sqrt(sigma)
    scatter, readnoise = ratio * sigma, float(np.median(exposures.noise.readnoise_in_unit))
    own = any(variance is not None for variance in exposures.variances)
    source = "their uncertainties" if own else "gain and read noise"
    unit = exposures.unit
    numbers = (
        f"the exposures scatter by {plain(scatter)} {unit}, where {source} give {plain(sigma)} {unit} at a level of "
        f"{plain(level)} {unit}"
    )
    # equal whole numbers have no scatter
    if 0 < ratio < NO_COUNTS:
        raise InputError(
            f"exposures must be counts in {exposures.given_unit} with the noise that is given; got a scatter of "
            f"{scatter:.3g}, where {source} give {sigma:.3g}. Check gain, read noise and unit; calibrated fluxes "
            "cannot be used"
        )
    if own:
        warn_user(f"{numbers}{_words_of_uncertainties(ratio, sample.correlation(cyclic_pairs(which)))}")
        return True
    agreeing = _values_that_agree(exposures, level, scatter, readnoise)
    if ratio > TOO_MUCH:
        warn_user(
            f"{numbers}{agreeing}: noise is missing. Was a sky subtracted? Its photons still count: leave the sky in, "
            "or give each exposure an uncertainty. If not, is the gain, or the read noise, of another amplifier or "
            f"readout mode? {CHECK}, whether all show the same field, and whether the flat field has a mean of 1"
        )
    else:
        causes = _words_of_too_little(exposures, sample, which, level, scatter, agreeing, bias_given)
        warn_user(f"{numbers}{causes}")
    return True


def _middle_ratio(sample, which, otherwise):
    """Median ratio of measured to stated scatter of some exposures (indices), or ``otherwise`` if it is not known."""
    ratios = [ratio for ratio in sample.ratios(cyclic_pairs(which)) if ratio is not None]
    return float(median_of_values(ratios)) if ratios else otherwise


def _words_of_too_little(exposures, sample, which, level, scatter, agreeing, bias_given):
    """Cause and remedy where the exposures (indices ``which``) scatter by less than their noise; the likely one first.

    Structures that differ correlate neighbours as smoothing does. If they are left out, and smoothing cannot explain
    the scatter, a bias is likely.
    """
    readnoise = float(np.median(exposures.noise.readnoise_in_unit))
    averaged = [header["NCOMBINE"] for header in exposures.own_headers if _is_average(header)]
    if averaged:
        effective = {"EFFGAIN", "EFFRN"}.issubset(exposures.own_headers[0])
        return (
            f", and NCOMBINE of a header is {averaged[0]}: an average has less noise than one exposure. Give each an "
            "uncertainty" + (', or gain="header:EFFGAIN" and readnoise="header:EFFRN"' if effective else "")
        )
    correlation = sample.correlation(cyclic_pairs(which))
    may_be_bias = level > 0 and not bias_given and readnoise <= scatter
    correlated = correlation > CORRELATED
    if correlated and not (may_be_bias and not _is_smoothing(sample.of_flattest(), which)):
        return (
            f", and the noise of neighbouring pixels is correlated by {correlation:.2f}: were the exposures resampled "
            f"or smoothed? {OF_SMOOTHED}. If they were not, check bias, gain and read noise"
        )
    if readnoise > scatter:
        return (
            f"{agreeing}: the read noise of {plain(readnoise)} {exposures.unit} alone exceeds the scatter. "
            f"{CHECK}; rates must have a unit per second"
        )
    if may_be_bias:
        return (
            f"{_bias_that_agrees(exposures, level, scatter, readnoise)}: part of the level is not light. "
            "Is a bias still in the exposures? Give bias= (command --bias)"
            + (f". If it is subtracted, were they resampled or smoothed? {OF_SMOOTHED}" if correlated else "")
        )
    return (
        f"{agreeing}: there is less noise than stated. Is the gain, or the read noise, of another amplifier or readout "
        "mode? Are the exposures averages, or divided by their number? Is a bias still in them? Were they resampled or "
        "smoothed? Averages and resampled exposures need an uncertainty each"
    )


def _is_smoothing(flattest, which):
    """Whether smoothing explains the scatter of some exposures (indices) in the flattest part of their sample.

    A shift by a fraction of a pixel along both axes leaves a scatter of 1 / (1 + 2 c), if neighbours are correlated by
    c. Wide filters leave less.
    """
    correlation = flattest.correlation(cyclic_pairs(which))
    return correlation > WIDE_FILTER or _middle_ratio(flattest, which, 1.0) * (1 + 2 * correlation) > OF_SMOOTHING


def _is_average(header):
    """Whether a header states that an image was combined of several exposures."""
    number = header.get("NCOMBINE")
    return isinstance(number, int) and number > 1


def _words_of_uncertainties(ratio, correlation):
    """Cause and remedy where the exposures scatter by ``ratio`` times their uncertainties."""
    if ratio > TOO_MUCH:
        return (
            ": the uncertainties are too small. Are they those of images without the sky, whose photons still count, "
            "or those of a mean? Check their kind (standard deviation, variance or inverse variance) and unit, and "
            "whether all exposures show the same field"
        )
    if correlation > CORRELATED:
        return (
            f", and the noise of neighbouring pixels is correlated by {correlation:.2f}: were the exposures resampled "
            "or smoothed? One pixel then has less noise than its uncertainty states, hits are broad, and faint ones "
            "may be missed. Use the exposures as they were before, or propagate the uncertainties"
        )
    return (
        ": the uncertainties are too large, so faint hits may be missed. Were they computed before the bias was "
        "subtracted? Subtract it first, and compute them from the result. If not, check their kind (standard "
        "deviation, variance or inverse variance) and unit"
    )


def _warn_of_bias(exposures, level):
    """Warn if the exposures lie far below the bias; return whether they do."""
    readnoise = float(np.median(exposures.noise.readnoise_in_unit))
    if level >= -BELOW_BIAS * readnoise:
        return _warn_of_darkest(exposures, readnoise)
    warn_user(
        f"the exposures lie at {plain(level)} {exposures.unit} once the bias is subtracted, {-level / readnoise:.0f} "
        f"times the read noise of {plain(readnoise)} below 0: "
        "the bias is too high, or it was subtracted before. Check bias"
    )
    return True


def _warn_of_darkest(exposures, readnoise):
    """Warn of exposures whose darkest blocks lie below the bias; return whether there are any."""
    bad = exposures.bad
    levels = {
        name: level_of_darkest_blocks(plane, None if bad is None else bad[i])
        for i, (name, plane) in enumerate(zip(exposures.names, exposures.data, strict=True))
    }
    low = {name: level for name, level in levels.items() if level < -DARKEST_BELOW_BIAS * readnoise}
    if not low:
        return False
    found = ", ".join(f"{name} at {plain(level)} {exposures.unit}" for name, level in low.items())
    warn_user(
        f"once the bias is subtracted, the darkest parts lie below 0 by more than the read noise of {plain(readnoise)} "
        f"{exposures.unit}: {found}. The bias is too high there, so noise and levels are stated too low. Check bias; "
        "if it changes from one exposure to the next, give one each (bias=[...]) or its section"
    )
    return True


def _values_that_agree(exposures, level, scatter, readnoise):
    """Words on the gain, or the read noise, that gives the measured scatter.

    The read noise in ADU depends on the gain. If the stated read noise exceeds the photon noise, or if the gain is not
    known, only the read noise is named.
    """
    noise = exposures.noise
    if exposures.scales or noise.n_averaged != 1 or np.ndim(noise.electrons_per_unit):
        return ""
    per_unit = float(noise.electrons_per_unit)
    photons = max(level, 0) / per_unit
    found = []
    if noise.gain is not None and exposures.unit == u.adu and photons > 0:
        gain = _gain_that_agrees(noise, level, scatter, readnoise)
        if gain is not None and (photons > readnoise**2 or photons > scatter**2):
            found.append(f"a gain of about {gain:.2g} in place of {per_unit:.3g} electron/adu")
    rest = scatter**2 - photons
    if rest > LEAST_REST * scatter**2:
        found.append(
            f"a read noise of about {np.sqrt(rest) * per_unit:.2g} in place of {readnoise * per_unit:.3g} electron"
        )
    return f" ({', or '.join(found)} agrees)" if found else ""


def _gain_that_agrees(noise, level, scatter, readnoise):
    """The gain that gives the scatter, with the read noise as it was stated; None if no gain does."""
    if noise.readnoise.unit == u.adu:
        return level / (scatter**2 - readnoise**2) if scatter > readnoise else None
    electrons = float(np.median(noise.readnoise_electrons))
    return float((level + np.sqrt(level**2 + 4 * electrons**2 * scatter**2)) / (2 * scatter**2))


def _bias_that_agrees(exposures, level, scatter, readnoise):
    """Words on the bias that gives the measured scatter."""
    per_unit = float(np.median(exposures.noise.electrons_per_unit))
    bias = level - (scatter**2 - readnoise**2) * per_unit
    return f" (a bias of about {plain(bias)} {exposures.unit} agrees)"
