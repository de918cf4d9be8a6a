"""Causes and remedies where the exposures scatter by more or less than their noise: the likely cause first."""

import astropy.units as u
import numpy as np

from crstack.exposures.scatter.noise_of_one import CORRELATED
from crstack.exposures.scatter.noise_sample import cyclic_pairs
from crstack.utils.medians import median_of_values
from crstack.utils.words import plain

__all__ = ["middle_ratio", "words_of_too_little", "words_of_too_much", "words_of_uncertainties"]

#: least share of the variance without photons for which a read noise is named
LEAST_REST = 0.05
#: correlation of neighbours above which, and scatter over that left by smoothing above which, smoothing is the cause
WIDE_FILTER, OF_SMOOTHING = 0.55, 0.65
#: consequences of smoothing, and remedy
OF_SMOOTHED = (
    "One pixel then has less noise than is stated, hits are broad, and faint ones may be missed. Use the exposures as "
    "they were before, or give each an uncertainty"
)
#: remedy where the bias is subtracted
OF_AVERAGES = (
    "are they averages of reads, exposures or pixels, or resampled? These have less noise: give each an uncertainty"
)
#: read noise over the scatter above which no bias explains the scatter; without light, as in darks, they are equal
ALONE = 1.1
#: largest deviation of a gain from the inverse of the stated one, as a fraction, and least one of that from 1
INVERSE, FROM_ONE = 0.1, 0.2
#: what to check where the noise is stated wrongly, for counts and for rates
CHECK, CHECK_OF_RATES = "Check gain, read noise and unit", "Check exposure times (seconds), gain, read noise and unit"


def middle_ratio(sample, which, otherwise):
    """Median ratio of measured to stated scatter of some exposures (indices), or ``otherwise`` if it is not known."""
    ratios = [ratio for ratio in sample.ratios(cyclic_pairs(which)) if ratio is not None]
    return float(median_of_values(ratios)) if ratios else otherwise


def words_of_too_much(exposures, level, scatter):
    """Cause and remedy where the exposures scatter by ``scatter`` at a ``level``, more than their noise."""
    inverse = _inverse_gain(exposures, level, scatter)
    if inverse:
        return f"{inverse}. If not, noise is missing, such as that of a sky that was subtracted: {CHECK.lower()}"
    return (
        f"{_values_that_agree(exposures, level, scatter)}: noise is missing. Was a sky subtracted? Its "
        "photons still count: leave the sky in, or give each exposure an uncertainty. If not, is the gain, or the read "
        f"noise, of another amplifier or readout mode? {_check(exposures)}, whether all show the same field, and "
        "whether the flat field has a mean of 1"
    )


def words_of_too_little(exposures, sample, which, level, scatter, stated, *, bias_given, smoothed):
    """Cause and remedy where the exposures (indices ``which``) scatter by less than their noise, which is ``stated``.

    The likely one is first. Structures that differ correlate neighbours as smoothing does. If they are left out, and
    smoothing cannot explain the scatter, a bias is likely. ``smoothed`` is whether other exposures are smoothed: these
    may be as well.
    """
    readnoise = _readnoise(exposures)
    averaged = [header["NCOMBINE"] for header in exposures.own_headers if _is_average(header)]
    if averaged:
        effective = {"EFFGAIN", "EFFRN"}.issubset(exposures.own_headers[0])
        return (
            f", and NCOMBINE of a header is {averaged[0]}: an average has less noise than one exposure. Give each an "
            "uncertainty" + (', or gain="header:EFFGAIN" and readnoise="header:EFFRN"' if effective else "")
        )
    correlation = sample.correlation(cyclic_pairs(which))
    may_be_bias = level > 0 and not bias_given and readnoise <= ALONE * scatter and not smoothed
    correlated = correlation > CORRELATED or smoothed
    if correlated and not (may_be_bias and not _is_smoothing(sample.of_flattest(), which)):
        return (
            f", and the noise of neighbouring pixels is correlated by {correlation:.2f}: were the exposures resampled "
            f"or smoothed? {OF_SMOOTHED}. If they were not, check bias, gain and read noise"
        )
    too_low = _bias_too_low(exposures, level, scatter, stated) if bias_given and not correlated else None
    agreeing = _values_that_agree(exposures, level, scatter, too_low)
    inverse = _inverse_gain(exposures, level, scatter)
    if inverse:
        return inverse + (". If not, is a bias still in the exposures? Give bias=" if may_be_bias else "")
    if readnoise > ALONE * scatter:
        return f"{agreeing}: the read noise of {plain(readnoise)} {exposures.unit} alone exceeds the scatter. " + (
            CHECK_OF_RATES if exposures.rate_seconds is not None else f"{CHECK}; rates must have a unit per second"
        )
    if may_be_bias:
        return (
            f"{_bias_that_agrees(exposures, level, scatter)}: part of the level is not light. "
            "Is a bias still in the exposures? Give bias= (command --bias)"
            f". If it is subtracted, {f'were they resampled or smoothed? {OF_SMOOTHED}' if correlated else OF_AVERAGES}"
        )
    bias = "Is a bias still in them?" if too_low is None else "Is the bias that was subtracted too low?"
    return (
        f"{agreeing}: there is less noise than stated. {bias} Is the gain, or the read noise, of another amplifier or "
        "readout mode? Are the exposures averages, or divided by their number? Were they resampled or smoothed? "
        "Averages and resampled exposures need an uncertainty each"
    )


def _is_smoothing(flattest, which):
    """Whether smoothing explains the scatter of some exposures (indices) in the flattest part of their sample.

    A shift by a fraction of a pixel along both axes leaves a scatter of 1 / (1 + 2 c), if neighbours are correlated by
    c. Wide filters leave less.
    """
    correlation = flattest.correlation(cyclic_pairs(which))
    return correlation > WIDE_FILTER or middle_ratio(flattest, which, 1.0) * (1 + 2 * correlation) > OF_SMOOTHING


def _is_average(header):
    """Whether a header states that an image was combined of several exposures."""
    number = header.get("NCOMBINE")
    return isinstance(number, int) and number > 1


def words_of_uncertainties(ratio, correlation):
    """Cause and remedy where the exposures scatter by ``ratio`` times their uncertainties, which is not about 1."""
    if ratio > 1:
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


def _check(exposures):
    """What to check."""
    return CHECK if exposures.rate_seconds is None else CHECK_OF_RATES


def _readnoise(exposures):
    """Median read noise in the unit of the exposures."""
    return float(np.median(exposures.noise.readnoise_in_unit))


def _inverse_gain(exposures, level, scatter):
    """Words where the inverse of the stated gain gives the measured scatter; empty if it does not."""
    gain = _gain_of_photons(exposures, level, scatter)
    stated = float(np.median(exposures.noise.electrons_per_unit))
    if gain is None or abs(gain * stated - 1) > INVERSE or abs(stated - 1) < FROM_ONE:
        return ""
    return (
        f" (a gain of about {gain:.2g} electron/adu agrees, which is the inverse of {stated:.3g}): is the gain given "
        "in adu per electron? Give electrons per adu"
    )


def _bias_too_low(exposures, level, scatter, stated):
    """By how much the bias that was subtracted may be too low; None if no bias explains the scatter."""
    noise = exposures.noise
    if _unlike_noise(exposures) or scatter < _readnoise(exposures):
        return None
    too_low = (stated**2 - scatter**2) * float(noise.electrons_per_unit)
    return too_low if 0 < too_low <= level else None


def _values_that_agree(exposures, level, scatter, too_low=None):
    """Words on the gain, the read noise, or a bias that is ``too_low`` (if not None), that give the measured scatter.

    The read noise in ADU depends on the gain. If the stated read noise exceeds the photon noise, or if the gain is not
    known, only the read noise is named.
    """
    noise, readnoise = exposures.noise, _readnoise(exposures)
    if _unlike_noise(exposures):
        return ""
    per_unit = float(noise.electrons_per_unit)
    photons = max(level, 0) / per_unit
    found = []
    gain = _gain_of_photons(exposures, level, scatter)
    if gain is not None:
        found.append(f"a gain of about {gain:.2g} in place of {per_unit:.3g} electron/adu")
    rest = scatter**2 - photons
    if rest > LEAST_REST * scatter**2:
        found.append(
            f"a read noise of about {np.sqrt(rest) * per_unit:.2g} in place of {readnoise * per_unit:.3g} electron"
        )
    if too_low is not None:
        found.insert(0, f"a bias about {plain(too_low)} {exposures.unit} higher")
    return f" ({', or '.join(found)} agrees)" if found else ""


def _unlike_noise(exposures):
    """Whether the noise of the exposures is not that of one gain."""
    noise = exposures.noise
    return bool(exposures.scales) or noise.n_averaged != 1 or np.ndim(noise.electrons_per_unit) > 0


def _gain_of_photons(exposures, level, scatter):
    """The gain that gives the scatter, where the noise of photons shows it; None elsewhere."""
    noise, readnoise = exposures.noise, _readnoise(exposures)
    if _unlike_noise(exposures) or noise.gain is None or exposures.unit != u.adu or level <= 0:
        return None
    photons = level / float(noise.electrons_per_unit)
    if photons <= readnoise**2 and photons <= scatter**2:
        return None
    return _gain_that_agrees(noise, level, scatter, readnoise)


def _gain_that_agrees(noise, level, scatter, readnoise):
    """The gain that gives the scatter, with the read noise as it was stated; None if no gain does."""
    if noise.readnoise.unit == u.adu:
        return level / (scatter**2 - readnoise**2) if scatter > readnoise else None
    electrons = float(np.median(noise.readnoise_electrons))
    return float((level + np.sqrt(level**2 + 4 * electrons**2 * scatter**2)) / (2 * scatter**2))


def _bias_that_agrees(exposures, level, scatter):
    """Words on the bias that gives the measured scatter."""
    readnoise = _readnoise(exposures)
    per_unit = float(np.median(exposures.noise.electrons_per_unit))
    bias = level - max(scatter**2 - readnoise**2, 0.0) * per_unit
    return f" (a bias of about {plain(bias)} {exposures.unit} agrees)"
